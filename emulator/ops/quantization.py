"""Quantisation and its inverse with scales that are given. Knows no scale that is found from the values, and no product.

Definitions: documentation of torch_npu (npu_quantize, npu_anti_quant, npu_group_quant, npu_dequant_bias, npu_trans_quant_param) and of CANN
(aclnnQuantize, aclnnAscendQuantV3, aclnnAscendAntiQuant, aclnnGroupQuant, aclnnDequantBias, aclnnTransQuantParamV3). Computed in float32.
"""

import torch
from torch import Tensor

from emulator.operator import Int32, Out, aclnn
from emulator.ops.dynamic_quant import converted
from emulator.ops.packed import rounded, unpack

_RANGES = {torch.int8: (-128, 127), torch.uint8: (0, 255), torch.int32: (-(1 << 31), (1 << 31) - 1)}
_ROUNDINGS = {"round": torch.round, "floor": torch.floor, "ceil": torch.ceil, "trunc": torch.trunc}
_INT32 = 3
_FP19_TAIL = 0xFFFFE000
_MARK, _OFFSET_AT, _OFFSET_BITS = 1 << 46, 37, 0x1FF


def _along(vector: Tensor, x: Tensor, axis: int) -> Tensor:
    """Give a scale for one axis the shape that broadcasts against x."""
    if vector.dim() == x.dim():
        return vector.float()
    shape = [1] * x.dim()
    shape[axis if vector.numel() > 1 else -1] = -1
    return vector.float().view(shape)


@aclnn
def Quantize(x: Tensor, scales: Tensor, zero_points: Tensor | None, dtype: Int32, axis: int, out: Out) -> Tensor:
    """out = round(x / scales + zero_points), saturated; one scale, or one for every place of the axis."""
    values = x.float() / _along(scales, x, axis)
    if zero_points is not None:
        values = values + _along(zero_points, x, axis)
    if out.dtype not in _RANGES:
        return converted(values, dtype)
    low, high = _RANGES[out.dtype]
    return values.double().round().clamp(low, high).nan_to_num(0.0).to(out.dtype)


@aclnn
def AscendQuantV3(
    x: Tensor, scale: Tensor, offset: Tensor | None, sqrt_mode: bool, round_mode: str, dtype: Int32, axis: int, out: Out
) -> Tensor:
    """out = round(x * scale + offset), saturated: int8, or eight int4 in an int32. With sqrt_mode the scale is squared."""
    if round_mode not in _ROUNDINGS:
        raise ValueError(f"round_mode is {round_mode!r}; it is one of {', '.join(_ROUNDINGS)}")
    factor = _along(scale, x, axis)
    values = x.float() * (factor * factor if sqrt_mode else factor)
    if offset is not None:
        values = values + _along(offset, x, axis)
    return converted(_ROUNDINGS[round_mode](values) if not out.is_floating_point() else values, dtype)


@aclnn
def AscendQuant(x: Tensor, scale: Tensor, offset: Tensor | None, sqrt_mode: bool, round_mode: str, dtype: Int32, out: Out) -> Tensor:
    """As AscendQuantV3, for the last axis."""
    return AscendQuantV3(x, scale, offset, sqrt_mode, round_mode, dtype, -1, out)


@aclnn
def AscendAntiQuant(x: Tensor, scale: Tensor, offset: Tensor | None, dtype: Int32, sqrt_mode: bool, out: Out) -> Tensor:
    """out = (x + offset) * scale; x is int8, or int32 with eight int4 each, and the scale is for the last axis."""
    if x.dtype == torch.uint8:
        raise NotImplementedError("hifloat8 is not emulated")
    values = (unpack(x) if x.dtype == torch.int32 else x).float()
    if offset is not None:
        values = values + offset.float()
    return values * (scale.float() ** 2 if sqrt_mode else scale.float())


@aclnn
def GroupQuant(x: Tensor, scale: Tensor, group_index: Tensor, offset: Tensor | None, dtype: Int32, out: Out) -> Tensor:
    """x [rows, h], scale [groups, h], group_index [groups]: the row at which each group ends. out = round(x * scale + offset)."""
    group = torch.bucketize(torch.arange(len(x)), group_index.long(), right=True)
    if bool((group >= len(scale)).any()):
        raise ValueError("group_index ends before the rows of x do")
    values = x.float() * scale.float()[group]
    return converted(values if offset is None else values + offset.float(), dtype)


@aclnn
def DequantBias(x: Tensor, weight_scale: Tensor, activation_scale: Tensor | None, bias: Tensor | None, dtype: int, out: Out) -> Tensor:
    """x [m, n] of int32, weight_scale [n], activation_scale [m]; an int32 bias [n] is added before the scales, another one after them."""
    values = x
    if bias is not None and bias.dtype == torch.int32:
        values = values + bias
    result = values.float() * weight_scale.float()
    if activation_scale is not None:
        result = result * activation_scale.float().unsqueeze(-1)
    return result if bias is None or bias.dtype == torch.int32 else result + bias.float()


def encoded_scale(scale: Tensor, offset: Tensor | None, round_mode: int) -> Tensor:
    """Return the 64 bits that the matrix unit takes as a scale: float32 cut to 19 bits, a mark at bit 46, an offset of 9 bits at bit 37."""
    bits = scale.float().contiguous().view(torch.int32).long() & 0xFFFFFFFF
    if round_mode:
        bits = bits + 0xFFF + ((bits >> 13) & 1)
    word = (bits & _FP19_TAIL) | _MARK
    return word if offset is None else word | ((rounded(offset.float(), -256, 255).long() & _OFFSET_BITS) << _OFFSET_AT)


def decoded_scale(words: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale and the offset that the matrix unit reads from such words."""
    words = words.long()
    low = words & 0xFFFFFFFF
    scale = torch.where(low >= 1 << 31, low - (1 << 32), low).to(torch.int32).view(torch.float32)
    offset = (words >> _OFFSET_AT) & _OFFSET_BITS
    return scale, torch.where(offset > 255, offset - 512, offset).float()


@aclnn
def TransQuantParamV2(scale: Tensor, offset: Tensor | None, out: Out) -> Tensor:
    """Encode scales for the matrix unit."""
    return encoded_scale(scale, offset, 0).expand(out.shape)


@aclnn
def TransQuantParamV3(scale: Tensor, offset: Tensor | None, round_mode: int, out: Out) -> Tensor:
    """Encode scales for the matrix unit; round_mode 1 rounds to 19 bits, 0 cuts."""
    return encoded_scale(scale, offset, round_mode).expand(out.shape)
