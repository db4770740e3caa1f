"""The least that has to go between memory and processor, in bytes, counted from a configuration. Knows no device, no time, and not torch.

It is a lower bound: what every implementation has to read and write, if everything else (activations, gradients, partial results) stayed on
the chip. So an arithmetic intensity from it is an upper bound. Weights count once a pass, of experts those that one token visits,
embeddings as the rows that are looked up; what is kept of the tokens before is read once a token, where attention reads all of it.
"""

from typing import Any

from reference import flops, kv_cache

_ADAMW = 6  # weight and two moments, each read and written
_FLOAT32 = 4
_READ_WHOLE = ("llama", "qwen3", "qwen3_moe", "deepseek_v3")  # families whose attention reads all that is kept


def training(config: Any, length: int) -> int:
    """Return the bytes of a step of AdamW on float32 weights: of every weight that has a gradient, and its moments. Raises AssayError."""
    return _ADAMW * _FLOAT32 * flops.trained(config, length)


def forward(config: Any, tokens: int, size: int) -> int:
    """Return the bytes of a pass over `tokens` tokens, numbers of `size` bytes: weights, and keys and values written. Raises AssayError."""
    return size * int(_weights(config) + tokens * (config.hidden_size + _stored(config)))


def decoding(config: Any, prompt: int, new_tokens: int, size: int) -> int:
    """Return the bytes of a prompt's pass and of a pass for each further token, with a cache. Raises AssayError: family not described."""
    passes = new_tokens * _weights(config)
    read = sum(prompt + done for done in range(1, new_tokens))  # of tokens before, by each pass after the first
    written = prompt + new_tokens - 1
    return size * int(passes + written * config.hidden_size + (read + written) * _stored(config))


def operations(config: Any, tokens: int, kept: int) -> int:
    """Return the operations of a pass over `tokens` tokens in all, logits for `kept` of them. Raises AssayError: family not described."""
    parts = flops.needed(config, 1, tokens)
    return sum(part.forward for part in parts.values()) - parts["head"].forward * (tokens - kept) // tokens


def _weights(config: Any) -> int:
    """Return the numbers of a pass: all but the embedding, whose rows are looked up; a tied head is the embedding, and read whole."""
    counts = flops.parameters(config)
    tied = config.vocab_size * config.hidden_size if bool(config.tie_word_embeddings) else 0
    return counts.active - counts.embedding + tied


def _stored(config: Any) -> int:
    """Return the numbers that a token leaves in the cache; 0 where not all are read for each token: the bound stays a lower one."""
    return kv_cache.numbers(config, 1) if config.model_type in _READ_WHOLE else 0
