"""HiF8, Huawei's tapered numbers of eight bits: to them and back, exactly. Knows no device, model or operator.

Source: Ascend HiFloat8 format, arXiv 2409.16626, sections 2 and 3. After the sign comes a prefix, the dot, which tells how many bits of
exponent follow; what is left is mantissa. So numbers near 1 have more digits, and the range is wide without a scale for each block:

    dot    exponent e      mantissa
    11     8 <= |e| <= 15  1 bit
    10     4 <= |e| <= 7   2 bits
    01     2 <= |e| <= 3   3 bits
    001    |e| = 1         3 bits
    0001   e = 0           3 bits
    0000   m - 23, m > 0   none: m has three bits

The exponent is a sign and a magnitude without its leading bit, which is 1. Zero has no sign; the bits of -0 are NaN. 1.5 * 2^15 would be
the largest, but stands for infinity. Rounding is to nearest, ties away from zero, as if infinity lay there: 1.25 * 2^15 and more becomes
infinite, and below 2^-23 all is zero.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reference.oracles.block_formats import exponent, power_of_two

LARGEST = 2.0**15
LEAST_NORMAL, LEAST = 2.0**-15, 2.0**-22

_TOP, _BOTTOM = 15, -22
_NAN, _INFINITY = 0x80, 0x6F
_DENORMAL = -23  # the exponent that m = 0 would have


def to_hifloat8(x: Tensor) -> Tensor:
    """Return x (float32 or float64) rounded to nearest among the numbers of HiF8, ties away from zero; infinity and NaN are themselves."""
    size = x.abs()
    power = exponent(size).clamp(_BOTTOM, _TOP)
    step = power - mantissa_width(power)
    halves = torch.floor(size * power_of_two(1 - step, x))
    units = torch.floor((halves + 1) / 2)  # not floor(t + 1/2), which rounds a sum just below a half to 1
    rounded = units * power_of_two(step, x)
    rounded = torch.where(rounded > LARGEST, torch.inf, rounded)
    return torch.where(torch.isfinite(x), torch.where(x < 0, -rounded, rounded), x) + 0.0  # -0 + 0 is 0


def mantissa_width(power: Tensor) -> Tensor:
    """Return how many bits of mantissa a number of exponent `power` (int64, -22 to 15) has, int64."""
    far = power.abs()
    return (far < 4).long() + (far < 8).long() + (far < 16).long()


def hifloat8_bits(numbers: Tensor) -> Tensor:
    """Return the bits, uint8, of what `to_hifloat8` has returned."""
    size = numbers.abs()
    power = exponent(size).clamp(_BOTTOM, _TOP)
    width, far = mantissa_width(power), power.abs()
    mantissa = (size * power_of_two(width - power, size)).nan_to_num(0, 0).long() - (1 << width)
    digits = sum((far >= 2**i).long() for i in range(4))  # of the exponent's magnitude: what the dot tells
    prefix = torch.tensor([0b0001000, 0b0010000, 0b0100000, 0b1000000, 0b1100000], device=numbers.device)[digits]
    magnitude = far - ((1 << digits) >> 1) + ((power < 0).long() << (digits - 1).clamp_min(0))
    normal = prefix + (magnitude << width) + mantissa
    bits = torch.where(power > -16, normal, power - _DENORMAL) + (numbers < 0).long() * 0x80
    bits = torch.where(numbers == 0, 0, bits)
    bits = torch.where(torch.isinf(numbers), _INFINITY + (numbers < 0).long() * 0x80, bits)
    return torch.where(torch.isnan(numbers), _NAN, bits).to(torch.uint8)


@dataclass(frozen=True)
class HiFloat8:
    """The format without any scale, as a round trip."""

    def round_trip(self, x: Tensor) -> Tensor:
        """Return what is left of x of any floating dtype, in that dtype; computed in float32 at least."""
        return to_hifloat8(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)


HIF8 = HiFloat8()
