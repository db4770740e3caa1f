"""Quantisation with scales that are found from the values: by token, by channel, by tensor. Knows no scale that is given.

Definitions: documentation of torch_npu (npu_dynamic_quant, npu_dynamic_quant_asymmetric) and of CANN (aclnnDynamicQuant, V2, V3, V4).
scale = largest magnitude / largest number of the type (symmetric), or range of the values / range of the type, and then offset = largest
number - largest value / scale. Computed in float32.
"""

import torch
from torch import Tensor

from emulator.operator import Float32, Int32, Out, aclnn
from emulator.ops.packed import pack, rounded

# aclDataType of the result -> its largest number, which is also that of a symmetric type's magnitude. INT32 is eight integers of four bits.
_INT8, _INT32, _INT4, _FLOAT8_E5M2, _FLOAT8_E4M3 = 2, 3, 29, 35, 36
_LARGEST = {_INT8: 127.0, _INT32: 7.0, _INT4: 7.0, _FLOAT8_E5M2: 57344.0, _FLOAT8_E4M3: 448.0}
_FLOATS = {_FLOAT8_E5M2: torch.float8_e5m2, _FLOAT8_E4M3: torch.float8_e4m3fn}
_SMALLEST_SCALE = 1e-12


def span_of(dtype: int) -> tuple[float, float]:
    """Return the least and the largest number of a quantised type. Raises NotImplementedError: a type that is not emulated."""
    if dtype not in _LARGEST:
        raise NotImplementedError(f"quantisation to the data type {dtype} of CANN is not emulated")
    largest = _LARGEST[dtype]
    return -largest if dtype in _FLOATS else -largest - 1, largest


def converted(values: Tensor, dtype: int) -> Tensor:
    """Return scaled values as numbers of a quantised type: rounded to nearest, saturated, packed where it has four bits."""
    low, high = span_of(dtype)
    if dtype in _FLOATS:
        return values.clamp(low, high).to(_FLOATS[dtype])
    codes = rounded(values, int(low), int(high))
    return codes if dtype == _INT8 else pack(codes, torch.int32 if dtype == _INT32 else torch.uint8)


def quantised(x: Tensor, dtype: int = _INT8, dim: int | tuple[int, ...] = -1) -> tuple[Tensor, Tensor]:
    """Quantise symmetrically along `dim`: return the numbers and the scale, whose reduced dimensions are kept."""
    _, high = span_of(dtype)
    scale = (x.abs().amax(dim, keepdim=True) if x.numel() else x.new_zeros(x[..., :1].shape)) / high
    return converted(x / scale, dtype), scale


def _smoothed(x: Tensor, scales: Tensor | None, group_index: Tensor | None) -> Tensor:
    x = x.float()
    if scales is None:
        return x
    if group_index is None:
        return x * scales.float()
    # A row belongs to the first group that ends after it.
    rows = torch.bucketize(torch.arange(x.numel() // x.shape[-1]), group_index.long(), right=True)
    if bool((rows >= len(scales)).any()):
        raise ValueError("group_index ends before the rows of x do")
    return x * scales.float()[rows].view(x.shape)


def _quantise(
    x: Tensor, smooth_scales: Tensor | None, group_index: Tensor | None, dtype: int, symmetric: bool, mode: str, scale_out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dims: dict[str, tuple[int, ...]] = {"pertoken": (-1,), "perchannel": (-2,), "pertensor": tuple(range(x.dim()))}
    if mode not in dims:
        raise ValueError(f"quant_mode is {mode!r}; it is pertoken, perchannel or pertensor")
    if mode == "perchannel" and smooth_scales is not None:
        smooth_scales = smooth_scales.unsqueeze(-1)
    values, dim = _smoothed(x, smooth_scales, group_index), dims[mode]
    if symmetric:
        numbers, scale = quantised(values, dtype, dim)
        return numbers, scale.view(scale_out.shape), scale_out
    low, high = span_of(dtype)
    largest = values.amax(dim, keepdim=True)
    scale = ((largest - values.amin(dim, keepdim=True)) / (high - low)).clamp_min(_SMALLEST_SCALE)
    offset = high - largest / scale
    return converted(values / scale + offset, dtype), scale.view(scale_out.shape), offset.view(scale_out.shape)


@aclnn
def DynamicQuant(x: Tensor, smooth_scales: Tensor | None, y: Out, scale: Out) -> tuple[Tensor, Tensor]:
    """x [..., h], smooth_scales [h] -> int8 or packed int4, and a scale for every row."""
    return _quantise(x, smooth_scales, None, _INT8 if y.dtype == torch.int8 else _INT32, True, "pertoken", scale)[:2]


@aclnn
def DynamicQuantV2(
    x: Tensor, smooth_scales: Tensor | None, group_index: Tensor | None, dst_type: Int32, y: Out, scale: Out, offset: Out | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As DynamicQuant; asymmetric if an offset is asked for. smooth_scales [groups, h] with the row where each group ends."""
    numbers, found, shift = _quantise(x, smooth_scales, group_index, dst_type, offset is None, "pertoken", scale)
    return numbers, found, None if offset is None else shift


@aclnn
def DynamicQuantV3(
    x: Tensor, smooth_scales: Tensor | None, group_index: Tensor | None, dst_type: Int32, symmetric: bool, mode: str,
    y: Out, scale: Out, offset: Out | None,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """As DynamicQuantV2; a scale for every row, channel or tensor."""
    numbers, found, shift = _quantise(x, smooth_scales, group_index, dst_type, symmetric, mode, scale)
    return numbers, found, None if offset is None else shift


@aclnn
def DynamicQuantV4(
    x: Tensor, smooth_scales: Tensor | None, group_index: Tensor | None, dst_type: Int32, symmetric: bool, mode: str, dst_type_max: Float32,
    y: Out, scale: Out, offset: Out | None,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """As DynamicQuantV3. dst_type_max is for hifloat8 only."""
    if dst_type_max:
        raise NotImplementedError("dst_type_max is for hifloat8, which is not emulated")
    numbers, found, shift = _quantise(x, smooth_scales, group_index, dst_type, symmetric, mode, scale)
    return numbers, found, None if offset is None else shift
