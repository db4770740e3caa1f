"""A llama model from a GGUF file to a float32 Hugging Face folder. Knows no device, and not where files come from.

The blocks are widened by the `gguf` package's own arithmetic (float32 scale x integer + offset), so the weights are those of
the quantized model exactly. Two things a reader must know: llama.cpp stores the rows of the query and key projections
interleaved (rotary pairs next to each other), Hugging Face stores them in halves; and SmolLM2 splits numbers into single
digits before byte-pair encoding, which a GGUF file says only by the name of its pre-tokenizer, `smollm`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from harness.errors import AssayError

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast

#: Raise this when the converter's output changes: it is part of the cache key.
CONVERTER = 1

_CONTROL = 3  # gguf.TokenType.CONTROL: special tokens
_LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def convert(file: Path, folder: Path) -> None:
    """Write config, float32 safetensors and tokenizer of a GGUF llama model to an existing folder.

    Raises AssayError when the file is no GGUF, or holds another architecture or tokenizer than the llama/SmolLM2 kind; OSError.
    """
    import gguf

    try:
        reader = gguf.GGUFReader(file)
    except (ValueError, IndexError, KeyError) as error:
        raise AssayError(f"{file}: not a readable GGUF file ({error}); get it again") from error
    fields = {name: field.contents() for name, field in reader.fields.items()}
    kind = (fields.get("general.architecture"), fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre"))
    if kind != ("llama", "gpt2", "smollm"):
        raise AssayError(f"{file}: a GGUF file of kind {kind}, only ('llama', 'gpt2', 'smollm') is converted; give a safetensors folder")
    config = _config(fields, tied=all(tensor.name != "output.weight" for tensor in reader.tensors))
    tensors = {hugging_face_name(t.name): _weight(t.name, gguf.dequantize(t.data, t.tensor_type), config) for t in reader.tensors}
    config.save_pretrained(folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer_of(fields).save_pretrained(folder)


def hugging_face_name(name: str) -> str:
    """Return the Hugging Face name of a llama tensor in a GGUF file. Raises AssayError when it has none."""
    try:
        if not name.startswith("blk."):
            stem, suffix = name.rsplit(".", 1)
            return f"{_TOP[stem]}.{suffix}"
        _, layer, stem, suffix = name.split(".")
        return f"model.layers.{int(layer)}.{_LAYER[stem]}.{suffix}"
    except (KeyError, ValueError) as error:
        raise AssayError(f"GGUF tensor {name!r} belongs to no llama model; give a safetensors folder") from error


def interleaved_to_halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows [heads * width, ...] of a query or key projection from llama.cpp's order to Hugging Face's.

    Within a head, llama.cpp has row 2i+j where Hugging Face has row j*width/2+i (j in 0, 1).
    """
    width = weight.shape[0] // heads
    return weight.reshape(heads, width // 2, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def _weight(name: str, values: np.ndarray, config: LlamaConfig) -> torch.Tensor:
    if ".attn_q." in name:
        values = interleaved_to_halves(values, config.num_attention_heads)
    elif ".attn_k." in name:
        values = interleaved_to_halves(values, config.num_key_value_heads or config.num_attention_heads)
    return torch.from_numpy(np.array(values, dtype=np.float32, order="C"))  # a copy: the file is mapped read-only


def _config(fields: dict[str, Any], tied: bool) -> LlamaConfig:
    from transformers import LlamaConfig

    def llama(key: str) -> Any:
        return fields[f"llama.{key}"]

    return LlamaConfig(
        vocab_size=llama("vocab_size"),
        hidden_size=llama("embedding_length"),
        intermediate_size=llama("feed_forward_length"),
        num_hidden_layers=llama("block_count"),
        num_attention_heads=llama("attention.head_count"),
        num_key_value_heads=llama("attention.head_count_kv"),
        head_dim=llama("rope.dimension_count"),
        max_position_embeddings=llama("context_length"),
        rms_norm_eps=llama("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": llama("rope.freq_base")},
        tie_word_embeddings=tied,
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        pad_token_id=fields["tokenizer.ggml.padding_token_id"],
        architectures=["LlamaForCausalLM"],
        dtype="float32",
    )


def tokenizer_of(fields: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Build SmolLM2's tokenizer from a GGUF file's fields: single digits, then byte-level byte-pair encoding."""
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, fields["tokenizer.ggml.token_type"], strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    roles = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    named = {role: tokens[fields[f"tokenizer.ggml.{key}_token_id"]] for role, key in roles.items()}
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        tokenizer_object=tokenizer, model_max_length=fields["llama.context_length"], clean_up_tokenization_spaces=False,
        chat_template=fields.get("tokenizer.chat_template"), **named,
    )  # fmt: skip


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 of what a tokenizer does: its rules and vocabulary, without truncation and padding set by callers.

    A tokenizer without a Rust backend is known by its class and vocabulary alone.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules = f"{type(tokenizer).__name__}:{sorted(tokenizer.get_vocab().items())}"
    else:
        bare = Tokenizer.from_str(backend.to_str())
        bare.no_truncation()
        bare.no_padding()
        rules = bare.to_str()
    return hashlib.sha256(rules.encode()).hexdigest()
