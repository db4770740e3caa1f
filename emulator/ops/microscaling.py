"""Quantisation in blocks: microscaling (MX) with powers of two to float8 and float4, and blocks with real scales. Knows no product.

Definitions: documentation of torch_npu (npu_dynamic_mx_quant, npu_anti_mx_quant, npu_dynamic_block_quant) and of CANN
(aclnnDynamicMxQuantV3, aclnnDynamicBlockQuantV2 and so on). Float4 lies in bytes, the first of two in the lower bits. Scales are E8M0,
that is the byte of their exponent + 127; along the quantised axis they are even in number, and pairs of them lie together in the last
dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from emulator.operator import Int32, Out, aclnn
from emulator.ops.dynamic_quant import converted, span_of
from emulator.ops.packed import pack

_BIAS, _NAN_SCALE = 127, 255


@dataclass(frozen=True)
class Format:
    """A small floating-point type: exponent of its largest number, least exponent of a normal one, mantissa bits, largest number."""

    top: int
    low: int
    mantissa: int
    largest: float
    dtype: torch.dtype | None = None

    def rounded(self, values: Tensor, mode: str) -> Tensor:
        """Round to the type's numbers, saturating; NaN becomes 0."""
        exponent = torch.frexp(values.abs())[1].sub(1).clamp_min(self.low)
        step = torch.ldexp(torch.ones_like(values), exponent - self.mantissa)
        units = values / step
        if mode == "rint":
            units = units.round()
        elif mode == "round":
            units = torch.where(units < 0, -(units.abs() + 0.5).floor(), (units + 0.5).floor())
        elif mode == "floor":
            units = units.floor()
        else:
            raise ValueError(f"round_mode is {mode!r}; it is rint, round or floor")
        return (units * step).clamp(-self.largest, self.largest).nan_to_num(0.0)

    def stored(self, values: Tensor) -> Tensor:
        """Return numbers of the type as memory holds them."""
        if self.dtype is not None:
            return values.to(self.dtype)
        exponent = torch.frexp(values.abs())[1].sub(1).clamp_min(self.low)
        mantissa = values.abs() / torch.ldexp(torch.ones_like(values), exponent - self.mantissa)
        normal = mantissa >= 1 << self.mantissa
        code = torch.where(normal, ((exponent - self.low + 1) << self.mantissa) + mantissa.int() - (1 << self.mantissa), mantissa.int())
        return pack(code + 8 * torch.signbit(values), torch.uint8)


#: By aclDataType.
FORMATS = {
    35: Format(15, -14, 2, 57344.0, torch.float8_e5m2),
    36: Format(8, -6, 3, 448.0, torch.float8_e4m3fn),
    40: Format(2, 0, 1, 6.0),
    41: Format(0, 0, 2, 1.75),
}


def _exponents(largest: Tensor, form: Format, algorithm: int, limit: float, bound: float) -> Tensor:
    """Return the exponent of each block's scale: of the block's largest number, or (algorithm 1) such that this does not overflow."""
    if algorithm == 0:
        return torch.where(largest == 0, -_BIAS, torch.frexp(largest)[1] - 1 - form.top)
    if bound > 0:
        largest = largest.clamp_min(bound)
    scale = largest / (limit or form.largest)
    mantissa, exponent = torch.frexp(scale)
    exact = mantissa == 0.5
    above = torch.where(scale < 2.0**-126, scale > 2.0**-127, ~exact)
    return torch.where(largest == 0, -_BIAS, exponent.sub(1).clamp_min(-_BIAS) + above.int())


def mx_quantised(
    x: Tensor, axis: int, mode: str, dtype: int, size: int, algorithm: int = 0, limit: float = 0.0, bound: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the numbers as they are stored, and the scales' bytes [..., pairs of blocks along the axis, ..., 2]."""
    if dtype not in FORMATS:
        raise NotImplementedError(f"MX quantisation to the data type {dtype} of CANN is not emulated")
    form = FORMATS[dtype]
    if algorithm not in (0, 1) or (algorithm == 1 and form.dtype is None):
        raise NotImplementedError(f"scale_alg {algorithm} to the data type {dtype} of CANN is not emulated")
    moved = x.float().movedim(axis, -1)
    length = moved.shape[-1]
    blocks = -(-length // size)
    filled = torch.nn.functional.pad(moved, (0, blocks * size - length)).reshape(*moved.shape[:-1], blocks, size)
    largest = filled.abs().amax(-1)
    exponent = _exponents(largest, form, algorithm, limit, bound).clamp_min(-_BIAS)
    broken = ~torch.isfinite(largest) | (exponent > _BIAS)
    values = form.rounded(torch.ldexp(filled, -exponent.unsqueeze(-1)).masked_fill(broken.unsqueeze(-1), torch.nan), mode)
    bytes_ = torch.where(broken, _NAN_SCALE, exponent + _BIAS).to(torch.uint8)
    pairs = torch.nn.functional.pad(bytes_, (0, blocks % 2)).reshape(*moved.shape[:-1], -1, 2)
    numbers = values.flatten(-2)[..., :length].movedim(-1, axis)
    return form.stored(numbers), pairs.movedim(-2, axis % x.dim())


def _scale(bytes_: Tensor) -> Tensor:
    return bytes_.contiguous().view(torch.float8_e8m0fnu)


@aclnn
def DynamicMxQuantV3(
    x: Tensor, axis: int, round_mode: str, dtype: Int32, block_size: int, scale_alg: int, dst_type_max: float, max_low_bound: float,
    y: Out, scale: Out,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """x in blocks along the axis -> numbers and scales. scale_alg 0: exponent of the largest; 1 (float8 only): no number overflows."""
    numbers, scales = mx_quantised(x, axis, round_mode, dtype, block_size, scale_alg, dst_type_max, max_low_bound)
    return numbers, _scale(scales)


@aclnn
def DynamicMxQuantV2(
    x: Tensor, axis: int, round_mode: str, dtype: Int32, block_size: int, scale_alg: int, dst_type_max: float, y: Out, scale: Out
) -> tuple[Tensor, Tensor]:
    """As DynamicMxQuantV3."""
    numbers, scales = mx_quantised(x, axis, round_mode, dtype, block_size, scale_alg, dst_type_max)
    return numbers, _scale(scales)


@aclnn
def DynamicMxQuant(
    x: Tensor, axis: int, round_mode: str, dtype: Int32, block_size: int, scale_alg: int, y: Out, scale: Out
) -> tuple[Tensor, Tensor]:
    """As DynamicMxQuantV3."""
    numbers, scales = mx_quantised(x, axis, round_mode, dtype, block_size, scale_alg)
    return numbers, _scale(scales)


@aclnn
def DynamicMxQuantWithDualAxisV2(
    x: Tensor, round_mode: str, dtype: Int32, scale_alg: int, dst_type_max: float, y1: Out, scale1: Out, y2: Out, scale2: Out
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x in blocks of 32 along the last axis, and along the one before it."""
    found = [mx_quantised(x, axis, round_mode, dtype, 32, scale_alg, dst_type_max) for axis in (-1, -2)]
    return found[0][0], _scale(found[0][1]), found[1][0], _scale(found[1][1])


@aclnn
def GroupedDynamicMxQuantV2(
    x: Tensor, group_index: Tensor, round_mode: str, dtype: Int32, block_size: int, scale_alg: int, dst_type_max: float, y: Out, scale: Out
) -> tuple[Tensor, Tensor]:
    """x [m, n] in blocks along m that start anew in each group; group_index says where groups end. Scales [pairs of blocks, n, 2]."""
    numbers, scales, start = [], [], 0
    for end in group_index.tolist():
        part, factor = mx_quantised(x[start:end], 0, round_mode, dtype, block_size, scale_alg, dst_type_max)
        numbers.append(part)
        scales.append(factor)
        start = end
    joined = torch.cat(scales)
    room = torch.nn.functional.pad(joined, (0, 0, 0, 0, 0, len(scale) - len(joined)))
    return torch.cat([one.view(torch.uint8) for one in numbers]).view(y.dtype), _scale(room)


@aclnn
def AntiMxQuant(x: Tensor, scale: Tensor, axis: int, dtype: Int32, y: Out) -> Tensor:
    """Numbers times their block's scale."""
    if x.dtype == torch.uint8:
        raise NotImplementedError("float4 is not emulated here: which of its two types it is does not reach the emulator")
    axis %= x.dim()
    flat = scale.view(torch.uint8).movedim(axis, -2).flatten(-2)
    exponents = flat.int() - _BIAS
    length = x.shape[axis]
    size = 32 * max(-(-length // (32 * flat.shape[-1])), 1)
    spread = exponents.repeat_interleave(size, -1)[..., :length]
    values = torch.ldexp(x.float().movedim(axis, -1), spread)
    return values.masked_fill(flat.repeat_interleave(size, -1)[..., :length] == _NAN_SCALE, torch.nan).movedim(-1, axis)


def _in_blocks(x: Tensor, rows: int, columns: int, dtype: int, smallest: float, limit: float) -> tuple[Tensor, Tensor]:
    height, width = x.shape[-2:]
    filled = torch.nn.functional.pad(x.float(), (0, -width % columns, 0, -height % rows))
    magnitude = torch.where(torch.isfinite(filled), filled.abs(), 0.0)
    largest = magnitude.unflatten(-1, (-1, columns)).amax(-1).unflatten(-2, (-1, rows)).amax(-2)  # type: ignore[no-untyped-call]
    scale = largest / (limit or span_of(dtype)[1])
    if smallest:
        scale = scale.clamp_max(1 / smallest)
    spread = scale.repeat_interleave(rows, -2)[..., :height, :].repeat_interleave(columns, -1)[..., :width]
    return converted((x.float() / spread).nan_to_num(0.0, torch.inf, -torch.inf), dtype), scale


@aclnn
def DynamicBlockQuantV2(
    x: Tensor, min_scale: float, round_mode: str, dtype: Int32, rows: int, columns: int, dst_type_max: float, y: Out, scale: Out
) -> tuple[Tensor, Tensor]:
    """x [..., m, n] in blocks [rows, columns] -> int8 or float8, and a scale for each block, 1 / min_scale at most."""
    if round_mode != "rint":
        raise NotImplementedError(f"round_mode {round_mode!r} is not emulated")
    return _in_blocks(x, rows, columns, dtype, min_scale, dst_type_max)


@aclnn
def DynamicBlockQuant(
    x: Tensor, min_scale: float, round_mode: str, dtype: Int32, rows: int, columns: int, y: Out, scale: Out
) -> tuple[Tensor, Tensor]:
    """As DynamicBlockQuantV2."""
    if round_mode != "rint":
        raise NotImplementedError(f"round_mode {round_mode!r} is not emulated")
    return _in_blocks(x, rows, columns, dtype, min_scale, 0.0)
