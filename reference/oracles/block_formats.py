"""Numbers of four and eight bits with a scale for each block: to them and back, exactly. Knows no device, model or operator.

Sources: OCP Microscaling Formats 1.0 (MXFP4: E2M1, MXFP8: E4M3, both in blocks of 1 x 32 with UE8M0 scales, section 6.3 for the
conversion); DeepSeek-V3, arXiv 2412.19437, section 3.3 (E4M3, weights in blocks of 128 x 128, activations in blocks of 1 x 128, scales
real or, since V3.1, powers of two); DeepSeek-V4, arXiv 2606.19348, on quantization-aware training (MXFP4 taken to E4M3 without loss;
entries of keys and values in E4M3, in blocks of 1 x 64 in DeepSeek's published code). Each is a `Format` at the end of this file.

All rules but `Rule.REAL` use bits, comparisons and products with powers of two alone, so any device that keeps to IEEE 754 gives the same
bits. How far the round trip goes: write x = t s with the block's scale s, q(t) for t rounded to the element type, m for its bits of
mantissa and 2^l for its least normal number.

- 2^e <= |t| < 2^(e+1), l <= e, not beyond the largest number: neighbours lie 2^(e-m) apart, so |t - q(t)| <= 2^(e-m-1). The worst is the
  midpoint next to 2^e, t = 2^e (1 + 2^(-m-1)), so |t - q(t)| <= |t| / (2^(m+1) + 1).
- |t| < 2^l: neighbours lie 2^(l-m) apart, so |t - q(t)| <= 2^(l-m-1).
- |t| beyond the largest number L = 2^e (2 - c), c = 1/2 (E2M1) or 1/4 (E4M3): only with `Rule.FLOOR`, where |t| < 2^(e+1); then
  |t - q(t)| = |t| - L < |t| c / 2, a quarter or an eighth of |t|.

`bound` returns the larger of the first two times s, with the third in the first's place for `Rule.FLOOR`. The scale of `Rule.REAL` and what
is divided and multiplied by it are rounded, which adds up to four roundoffs of x, and of s times the last bound.

To E4M3 without loss: all numbers of a 128 x 128 block are c 2^p with c in {0, 1/2, 1, 3/2, 2, 3, 4, 6}, and p from p_min to p_max among the
blocks of 32 in it that are not all zero. `Rule.CEILING` gives it the scale 2^P with P = p_max - 6 (6 * 64 <= 448 < 6 * 128), or p_max - 7
where its largest is 3 * 2^p_max, or smaller P where that is smaller still. E4M3's numbers are all multiples of 2^-9 with at most four
bits, up to 448; c 2^(p - P) has two bits and is a multiple of 2^(p - P - 1). With P <= p_max - 6 this needs p_min - P - 1 >= -9, which
p_max - p_min <= 14 = `LOSSLESS_SPREAD` ensures if P = p_max - 6; a smaller P only helps.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

MX_BLOCK = (1, 32)
WEIGHT_BLOCK = (128, 128)
ACTIVATION_BLOCK = (1, 128)
ENTRY_BLOCK = (1, 64)
LOSSLESS_SPREAD = 14  # binary orders between the MXFP4 scales within a block that goes to E4M3

_LEAST, _MOST, _BIAS = -127, 127, 127  # the exponents that UE8M0 has; 255 stands for NaN


@dataclass(frozen=True)
class Element:
    """A small floating-point type: bits of mantissa, exponent of the least normal and of the largest number, the largest number."""

    mantissa: int
    least: int
    top: int
    limit: float

    @property
    def room(self) -> float:
        """Return the largest number's significand, in [1, 2)."""
        return self.limit / 2.0**self.top


E2M1 = Element(1, 0, 2, 6.0)
E4M3 = Element(3, -6, 8, 448.0)
E5M2 = Element(2, -14, 15, 57344.0)


class Rule(StrEnum):
    """How the scale of a block follows from its largest magnitude, a."""

    FLOOR = "floor"  # OCP 6.3: 2^(floor(log2 a) - top); what lies beyond the largest number becomes that
    CEILING = "ceiling"  # DeepSeek: the least power of two with a / scale <= limit; nothing saturates
    REAL = "real"  # DeepSeek-V3: a / limit, a real number; 1 where a is zero


class Blocks(NamedTuple):
    """`numbers`, of the element type, held in the dtype that was quantised, and one scale a block, [..., rows / block, columns / block]."""

    numbers: Tensor
    scale: Tensor


def exponent(x: Tensor) -> Tensor:
    """Return floor(log2 |x|) of float32 or float64, int64, from the bits.

    Of zero and subnormal numbers it is -127 (float64: -1023), of what is not finite 128 (1024).
    """
    if x.dtype is torch.float64:
        return ((x.view(torch.int64) >> 52) & 0x7FF) - 1023
    return ((x.view(torch.int32) >> 23) & 0xFF).long() - 127


def power_of_two(power: Tensor, like: Tensor) -> Tensor:
    """Return 2^power in the dtype of `like` (float32 or float64), for integers from -127 to 128, made of bits (2^128: infinity)."""
    if like.dtype is torch.float64:
        return ((power + 1023) << 52).view(torch.float64)
    biased = (power + 127).int()
    subnormal = (biased == 0).int() << 22  # 2^-127 has no exponent of its own in float32
    return ((biased << 23) | subnormal).view(torch.float32)


def to_element(t: Tensor, element: Element) -> Tensor:
    """Return t (float32 or float64) rounded to nearest, ties to even, among the element's numbers; beyond the largest it becomes that."""
    step = exponent(t).clamp(element.least, element.top) - element.mantissa
    units = torch.round(t * power_of_two(-step, t))  # torch.round takes ties to even
    return (units * power_of_two(step, t)).clamp(-element.limit, element.limit)


def codes(numbers: Tensor, element: Element) -> Tensor:
    """Return the bits of numbers of the element type, uint8: sign, exponent, mantissa; E2M1 in the lowest four."""
    power = exponent(numbers).clamp(element.least, element.top)
    units = (numbers.abs() * power_of_two(element.mantissa - power, numbers)).long()
    sign = (numbers.view(torch.int64 if numbers.dtype is torch.float64 else torch.int32) < 0).long()
    width = 1 + element.mantissa + (element.top - element.least + 1).bit_length()
    return (((power - element.least) << element.mantissa) + units + (sign << (width - 1))).to(torch.uint8)


def quantise(x: Tensor, element: Element, block: tuple[int, int], rule: Rule) -> Blocks:
    """Return finite x [..., rows, columns] (float32 or float64) in blocks of `block`; the last of a row or column may be partial.

    A block that holds NaN or infinity has an infinite scale (NaN with `Rule.REAL`), so none of its numbers comes back finite.
    """
    largest = _blocked(x.abs(), block).amax((-3, -1))
    if rule is Rule.REAL:
        scale = torch.where(largest == 0, 1.0, largest / element.limit)
        return Blocks(to_element(x / _spread(scale, x, block), element), scale)
    power = exponent(largest)
    if rule is Rule.CEILING:
        significand = largest * power_of_two(-power.clamp(_LEAST, _MOST), largest)
        power = power + (significand > element.room).long()
    power = torch.where(torch.isfinite(largest), (power - element.top).clamp(_LEAST, _MOST), _MOST + 1)
    inverse = power_of_two((-power).clamp(_LEAST, _MOST), x)
    return Blocks(to_element(x * _spread(inverse, x, block), element), power_of_two(power, x))


def dequantise(blocks: Blocks, block: tuple[int, int]) -> Tensor:
    """Return the numbers times the scales of their blocks: exact, apart from the rounding of `Rule.REAL`."""
    return blocks.numbers * _spread(blocks.scale, blocks.numbers, block)


def round_trip(x: Tensor, element: Element, block: tuple[int, int], rule: Rule) -> Tensor:
    """Return what is left of x [..., rows, columns] after quantisation."""
    return dequantise(quantise(x, element, block, rule), block)


def scale_bits(scale: Tensor) -> Tensor:
    """Return UE8M0, uint8: the exponent of each scale plus 127; 255 for one that is not finite. 2^-127 is 0."""
    return torch.where(torch.isfinite(scale), exponent(scale).clamp(_LEAST, _MOST), _MOST + 1).add(_BIAS).to(torch.uint8)


def bound(x: Tensor, scale: Tensor, element: Element, block: tuple[int, int], rule: Rule) -> Tensor:
    """Return how far each of x may lie from its round trip (see the module's head), of x's shape."""
    share = 1 / (2.0 ** (element.mantissa + 1) + 1)
    if rule is Rule.FLOOR:
        share = max(share, 1 - element.room / 2)
    near = _spread(scale, x, block) * 2.0 ** (element.least - element.mantissa - 1)
    slack = 1 + 4 * torch.finfo(x.dtype).eps if rule is Rule.REAL else 1.0
    most = torch.maximum(share * x.abs(), near) * slack
    return most + 2 * torch.finfo(x.dtype).eps * x.abs() if rule is Rule.REAL else most


def spread_of_scales(blocks: Blocks) -> Tensor:
    """Return how many binary orders the scales of MXFP4 [rows, columns] span in each block of 128 x 128, int64 [rows / 128, columns / 128].

    Blocks of zeros have the least scale there is and are left out. What is at most `LOSSLESS_SPREAD` goes to E4M3 without loss.
    """
    power = exponent(blocks.scale)
    held = (_blocked(blocks.numbers, MX_BLOCK) != 0).any(-1).any(-2)
    inside = (WEIGHT_BLOCK[0] // MX_BLOCK[0], WEIGHT_BLOCK[1] // MX_BLOCK[1])
    most = _blocked(torch.where(held, power, _LEAST - 1), inside, _LEAST - 1).amax((-3, -1))
    least = _blocked(torch.where(held, power, _MOST + 1), inside, _MOST + 1).amin((-3, -1))
    return (most - least).clamp_min(0)


def _blocked(x: Tensor, block: tuple[int, int], filling: int = 0) -> Tensor:
    """Return x [..., r, c] as [..., r / rows, rows, c / columns, columns], filled up."""
    rows, columns = block
    filled = functional.pad(x, (0, -x.shape[-1] % columns, 0, -x.shape[-2] % rows), value=filling)
    return torch.unflatten(torch.unflatten(filled, -1, (-1, columns)), -3, (-1, rows))


def _spread(scale: Tensor, x: Tensor, block: tuple[int, int]) -> Tensor:
    """Return each block's scale at each of its elements, of x's shape."""
    whole = scale.repeat_interleave(block[0], -2).repeat_interleave(block[1], -1)
    return whole[..., : x.shape[-2], : x.shape[-1]]


@dataclass(frozen=True)
class Format:
    """An element type with the block that shares a scale, and how that scale is found."""

    element: Element
    block: tuple[int, int]
    rule: Rule = Rule.CEILING

    def quantise(self, x: Tensor) -> Blocks:
        """Return x [..., rows, columns], float32 or float64, as numbers and scales."""
        return quantise(x, self.element, self.block, self.rule)

    def round_trip(self, x: Tensor) -> Tensor:
        """Return what is left of x [..., columns] of any floating dtype, in that dtype; computed in float32 at least."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        rows = wide if x.ndim > 1 else wide[None]
        return dequantise(self.quantise(rows), self.block).reshape(x.shape).to(x.dtype)


#: As OCP has it, and `npu_dynamic_mx_quant`.
MXFP8 = Format(E4M3, MX_BLOCK, Rule.FLOOR)

#: As DeepSeek has them: nothing saturates.
MXFP4 = Format(E2M1, MX_BLOCK)
FP8_WEIGHTS = Format(E4M3, WEIGHT_BLOCK)
FP8_ACTIVATIONS = Format(E4M3, ACTIVATION_BLOCK)
FP8_ENTRIES = Format(E4M3, ENTRY_BLOCK)
