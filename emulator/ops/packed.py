"""Integers of eight and four bits: rounding to them, and four-bit ones packed into wider words. Knows no scale."""

import torch
from torch import Tensor

_BITS = {torch.int8: 8, torch.uint8: 8, torch.int32: 32}


def rounded(values: Tensor, low: int = -128, high: int = 127) -> Tensor:
    """Round to the nearest integer, ties to even, inside [low, high]; NaN becomes 0."""
    return values.round().clamp(low, high).nan_to_num(0.0).to(torch.int32)


def pack(codes: Tensor, word: torch.dtype) -> Tensor:
    """Pack the last dimension's four-bit values into words, the first into the lowest bits, as torch_npu does."""
    count = _BITS[word] // 4
    if codes.shape[-1] % count:
        raise ValueError(f"a last dimension of {codes.shape[-1]} does not fill words of {count} four-bit values")
    nibbles = (codes.long() & 15).reshape(*codes.shape[:-1], -1, count) << torch.arange(0, 4 * count, 4)
    total = nibbles.sum(-1)
    return torch.where(total >= 1 << 31, total - (1 << 32), total).to(word)


def codes_of(words: Tensor) -> Tensor:
    """Return the four-bit values, 0 to 15, of packed words, as int32; the last dimension grows by as many as a word holds."""
    shifts = torch.arange(0, _BITS[words.dtype], 4)
    return ((words.long().unsqueeze(-1) >> shifts) & 15).flatten(-2).to(torch.int32)


def unpack(words: Tensor) -> Tensor:
    """Return the signed four-bit values, -8 to 7, of packed words, as int32."""
    codes = codes_of(words)
    return torch.where(codes > 7, codes - 16, codes)
