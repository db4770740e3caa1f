"""Rotary position embedding from tables of cosines and sines, by halves and by neighbours. Knows no device.

Source: Su et al. 2021, eq. 34; torch_npu's pages for which elements are a pair. Tables hold each angle twice.
"""

import torch
from torch import Tensor


def rotary_mul(x: Tensor, cosine: Tensor, sine: Tensor, rotary_mode: str = "half") -> Tensor:
    """Return `x cos + turned(x) sin`; a quarter turn of the pair (a, b) is (-b, a). The tables broadcast to x."""
    return x * cosine + quarter_turn(x, rotary_mode) * sine


def quarter_turn(x: Tensor, rotary_mode: str) -> Tensor:
    """Turn each pair (a, b) to (-b, a): i and i + width / 2 ("half"), or 2i and 2i + 1 ("interleave")."""
    if rotary_mode == "half":
        first, second = x.chunk(2, -1)
        return torch.cat([-second, first], -1)
    return torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)


def apply_rotary_pos_emb(query: Tensor, key: Tensor, cosine: Tensor, sine: Tensor, layout: str = "BSND") -> tuple[Tensor, Tensor]:
    """Turn query and key by halves; as the operator does, in place too."""
    return query.copy_(rotary_mul(query, cosine, sine)), key.copy_(rotary_mul(key, cosine, sine))


def interleave_rope(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Put even elements before odd ones, then turn by halves (DeepSeek-V3's order)."""
    return rotary_mul(torch.cat([x[..., 0::2], x[..., 1::2]], -1), cosine, sine)


def mrope(positions: Tensor, query: Tensor, key: Tensor, cache: Tensor, head_size: int, *, rotary_mode: str) -> tuple[Tensor, Tensor]:
    """Turn the heads of query and key [tokens, heads * head_size] by row `positions` of `cache` [rows, width]: cosines, then sines.

    The first `width` elements of a head are turned, the others are left.
    """
    cosine, sine = (_twice(part, rotary_mode)[:, None] for part in cache[positions].chunk(2, -1))
    return _turned_heads(query, cosine, sine, head_size, rotary_mode), _turned_heads(key, cosine, sine, head_size, rotary_mode)


def _twice(angles: Tensor, rotary_mode: str) -> Tensor:
    return torch.cat([angles, angles], -1) if rotary_mode == "half" else angles.repeat_interleave(2, -1)


def _turned_heads(x: Tensor, cosine: Tensor, sine: Tensor, head_size: int, rotary_mode: str) -> Tensor:
    heads = x.reshape(x.shape[0], -1, head_size)
    turned, kept = torch.split(heads, [cosine.shape[-1], head_size - cosine.shape[-1]], -1)
    return torch.cat([rotary_mul(turned, cosine, sine, rotary_mode), kept], -1).reshape(x.shape)
