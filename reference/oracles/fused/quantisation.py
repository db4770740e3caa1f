"""Real numbers to few bits and back. Knows no device.

Where an operator rounds to integers, its definition here returns the value before it is rounded, cut off at the ends of the range: an
integer is right if it is that value, rounded. Sources: pages of npu_quantize, npu_anti_quant, npu_dynamic_quant and its asymmetric form,
npu_group_quant, npu_dequant_bias, npu_swiglu_quant, npu_dequant_swiglu_quant, npu_rms_norm_quant and its kind, npu_trans_quant_param and
npu_convert_weight_to_int4pack.
"""

import torch
from torch import Tensor

from reference.oracles.fused.normalization import add_rms_norm, rms_norm
from reference.oracles.fused.widening import wide

LOW, HIGH = -128, 127  # int8


def cut_off(value: Tensor, low: int = LOW, high: int = HIGH) -> Tensor:
    """Return the value within the range of the integer that it becomes."""
    return value.clamp(low, high)


def quantize(x: Tensor, scales: Tensor, zero_points: Tensor | None, *, div_mode: bool) -> Tensor:
    """Return `x / scales + zero_points`, or with `div_mode` false `x * scales + zero_points`, by columns, before rounding to int8."""
    value = wide(x) / wide(scales) if div_mode else wide(x) * wide(scales)
    return cut_off(value if zero_points is None else value + zero_points)


def anti_quant(x: Tensor, scale: Tensor, offset: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `(x + offset) * scale` of integers."""
    return ((x + wide(offset)) * wide(scale)).to(dtype)


def dynamic_quant(x: Tensor, smooth: Tensor | None = None, group_ends: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return `v / scale` before rounding, `v = x * smooth`, and `scale = max |v| / 127` of each row (float32).

    `smooth` is [width], or [groups, width] with rows up to the cumulative `group_ends` taking their group's.
    """
    value = wide(x)
    if smooth is not None:
        value = value * wide(smooth if group_ends is None else smooth[groups_of(group_ends, x.shape[0])])
    scale = value.abs().amax(-1) / HIGH
    return value / torch.where(scale == 0, 1.0, scale)[..., None], scale


def groups_of(ends: Tensor, rows: int) -> Tensor:
    """Return which group each row belongs to, int64 [rows]: the first whose end lies behind it."""
    return (torch.arange(rows, device=ends.device)[:, None] >= ends).sum(1)


def dynamic_quant_asymmetric(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return `x / scale + offset` before rounding, `scale = (max - min) / 255` and `offset = 127 - max / scale` of each row."""
    value = wide(x)
    top, bottom = value.amax(-1), value.amin(-1)
    scale = (top - bottom) / (HIGH - LOW)
    offset = HIGH - top / scale
    return cut_off(value / scale[..., None] + offset[..., None]), scale, offset


def group_quant(x: Tensor, scale: Tensor, ends: Tensor, offset: Tensor) -> Tensor:
    """Return `x * scale + offset`, each row with its group's scale [groups, width], before rounding to int8."""
    return cut_off(wide(x) * wide(scale)[groups_of(ends, x.shape[0])] + wide(offset))


def dequant_bias(x: Tensor, weight_scale: Tensor, activation_scale: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `(x + bias) * weight_scale * activation_scale` of int32 [rows, width] with an int32 bias."""
    return ((x + bias) * weight_scale * activation_scale[:, None]).to(dtype)


def gated(x: Tensor, left: bool) -> Tensor:
    """Return SiLU of one half (the left one: `left`) of the last dimension times the other."""
    first, second = wide(x).chunk(2, -1)
    gate, linear = (first, second) if left else (second, first)
    return gate / (1 + torch.exp(-gate)) * linear


def swiglu_quant(x: Tensor, smooth: Tensor, ends: Tensor, left: bool) -> tuple[Tensor, Tensor]:
    """Return `v * scale` before rounding and `scale = 127 / max |v|` of each row, `v = gated(x) * smooth` of the row's group."""
    value = gated(x, left) * smooth[groups_of(ends, x.shape[0])]
    scale = HIGH / value.abs().amax(-1)
    return value * scale[:, None], scale


def dequant_swiglu_quant(
    x: Tensor,
    weight_scale: Tensor,
    activation_scale: Tensor,
    quant_scale: Tensor,
    left: bool,
    limits: tuple[float, float, float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return `v / scale` before rounding and `scale = max |v| / 127`, v the gated dequantised int32 x times `quant_scale`.

    `limits` (clamp, alpha, bias) makes the gate of interleaved columns a sigmoid(alpha a) (b + bias), a at most clamp and b within it.
    """
    plain = x * weight_scale * activation_scale
    if limits is None:
        value = gated(plain, left)
    else:
        clamp, alpha, bias = limits
        gate, linear = plain[..., 0::2].clamp(max=clamp), plain[..., 1::2].clamp(-clamp, clamp)
        value = gate / (1 + torch.exp(-alpha * gate)) * (linear + bias)
    return dynamic_quant(value, quant_scale[0])


def rms_norm_quant(x: Tensor, gamma: Tensor, beta: Tensor, scale: Tensor, offset: Tensor, epsilon: float) -> Tensor:
    """Return `(rms_norm(x) + beta) / scale + offset` before rounding to int8; scale and offset are of the whole tensor."""
    value = rms_norm(wide(x), wide(gamma), epsilon)[0] + wide(beta)
    return cut_off(value / wide(scale) + offset)


def rms_norm_quant_v2(x: Tensor, gamma: Tensor, scale: Tensor, *, epsilon: float, div_mode: bool) -> tuple[Tensor, None]:
    """Return `rms_norm(x) / scale` (or times it) before rounding to int8."""
    value = rms_norm(wide(x), wide(gamma), epsilon)[0]
    return cut_off(value / wide(scale) if div_mode else value * wide(scale)), None


def add_rms_norm_quant(
    x1: Tensor, x2: Tensor, gamma: Tensor, scales: Tensor, zero_points: Tensor, beta: Tensor, epsilon: float, div_mode: bool
) -> tuple[Tensor, Tensor]:
    """Return `(rms_norm(x1 + x2) + beta) / scales + zero_points` before rounding to int8, and the sum."""
    total = x1 + x2
    value = rms_norm(wide(total), wide(gamma), epsilon)[0] + wide(beta)
    return cut_off((value / scales if div_mode else value * scales) + zero_points), total


def add_rms_norm_dynamic_quant(x1: Tensor, x2: Tensor, gamma: Tensor, smooth: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return `dynamic_quant(rms_norm(x1 + x2), smooth)`, the sum, and the scale of each row."""
    value, _, total = add_rms_norm(wide(x1 + x2), torch.zeros_like(wide(x1)), wide(gamma), epsilon)
    y, scale = dynamic_quant(value, smooth)
    return y, total.to(x1.dtype), scale


def int4_packed(codes: Tensor) -> Tensor:
    """Return int32 [rows, width / 8]: eight numbers from -8 to 7 a word, the first in the lowest bits."""
    shifts = torch.arange(0, 32, 4, device=codes.device)
    words = (torch.unflatten(codes.long() & 15, -1, (-1, 8)) << shifts).sum(-1)
    return torch.where(words >= 1 << 31, words - (1 << 32), words).int()


def words_of(scale: Tensor) -> Tensor:
    """Return int64: the bits of a float32 scale without its last 13, and bit 46, as the matrix unit takes them."""
    return (scale.float().view(torch.int32).long() & 0xFFFFE000) | (1 << 46)
