"""What a model keeps of the tokens that it has read: numbers a sequence, layer by layer. Knows no tensor, and not torch.

Sources: those of `anatomy.py`; for DeepSeek-V3 and V3.2 the latent and the shared turned key (arXiv 2412.19437, section 2.1.1), for
V3.2 the indexer's keys; for V4 (arXiv 2606.19348, section 2.3) a window of shared keys and values, compressed entries, the tokens that
are not compressed yet with their gates, and of overlapping blocks the block before. Counted is what transformers keeps, which is held
against its caches in tests; where it keeps the same twice (V4's keys are its values, and layers with a window alone copy them) `needed`
has it once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import AssayError

_SWA, _CSA = "sliding_attention", "compressed_sparse_attention"


@dataclass(frozen=True)
class Kept:
    """One thing that a layer keeps of a sequence: how many numbers, and how many of them the definition needs."""

    what: str
    numbers: int
    needed: int


def kept(config: Any, length: int) -> tuple[tuple[Kept, ...], ...]:
    """Return what each layer keeps of `length` tokens of one sequence. Raises AssayError for a family that is not described here."""
    kind = str(getattr(config, "model_type", None))
    if kind not in _KINDS:
        raise AssayError(f"{kind}: what such a model keeps is not described; described are {', '.join(_KINDS)}")
    if getattr(config, "use_sliding_window", False):
        raise AssayError(f"{kind}: what it keeps with a sliding window is not described")
    return _KINDS[kind](config, length)


def numbers(config: Any, length: int) -> int:
    """Return how many numbers all layers keep of `length` tokens of one sequence."""
    return sum(one.numbers for layer in kept(config, length) for one in layer)


def numbers_a_token(config: Any, length: int) -> float:
    """Return how many numbers the next token adds, on average, to a sequence of `length` tokens, which is longer than any window.

    The average is over the longest stride of compression, so that what waits to be compressed does not count.
    """
    strides = getattr(config, "compress_rates", None) or {"": 1}
    span = int(max(strides.values()))
    begin = (length // span + 1) * span
    return (numbers(config, begin + span) - numbers(config, begin)) / span


def _all(what: str, count: int) -> Kept:
    return Kept(what, count, count)


def _dense(config: Any, length: int) -> tuple[tuple[Kept, ...], ...]:
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    each = config.num_key_value_heads * size * length
    return tuple((_all("keys", each), _all("values", each)) for _ in range(config.num_hidden_layers))


def _latent(config: Any, length: int) -> tuple[tuple[Kept, ...], ...]:
    layer: tuple[Kept, ...] = (_all("latents", config.kv_lora_rank * length), _all("turned keys", config.qk_rope_head_dim * length))
    if getattr(config, "index_topk", None) is not None:
        layer += (_all("indexer's keys", config.index_head_dim * length),)
    return tuple(layer for _ in range(config.num_hidden_layers))


def _v4(config: Any, length: int) -> tuple[tuple[Kept, ...], ...]:
    return tuple(_v4_layer(config, kind, length) for kind in config.layer_types)


def _v4_layer(config: Any, kind: str, length: int) -> tuple[Kept, ...]:
    window = min(length, config.sliding_window - 1) * config.head_dim  # the token that asks is not kept before it has been asked
    if kind == _SWA:
        return (Kept("window", 2 * window, window),)
    stride = config.compress_rates[kind]
    layer = (_all("window", window), *_compressed("", config.head_dim, stride, length, overlaps=kind == _CSA))
    if kind == _CSA:
        layer += _compressed("indexer's ", config.index_head_dim, stride, length, overlaps=True)
    return layer


def _compressed(whose: str, size: int, stride: int, length: int, overlaps: bool) -> tuple[Kept, ...]:
    """Entries of `stride` tokens each; what waits, and the block before, have a gate for each number, overlapping ones in two series."""
    blocks, rest = divmod(length, stride)
    waiting = 2 * rest * size * (2 if overlaps else 1)
    before = 2 * stride * size if overlaps and blocks else 0
    return _all(f"{whose}entries", blocks * size), _all(f"{whose}waiting tokens", waiting), _all(f"{whose}block before", before)


_KINDS: Mapping[str, Callable[[Any, int], tuple[tuple[Kept, ...], ...]]] = {
    "llama": _dense, "qwen3": _dense, "qwen3_moe": _dense, "deepseek_v3": _latent, "deepseek_v32": _latent, "deepseek_v4": _v4,
}  # fmt: skip
