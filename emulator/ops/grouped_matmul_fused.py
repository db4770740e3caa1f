"""Grouped products with what follows them: the way back to tokens, SwiGLU, quantisation. Knows no gate.

Definitions: documentation of torch_npu (npu_grouped_matmul_finalize_routing, ..._swiglu_quant, ..._swiglu_quant_v2,
npu_quant_grouped_matmul_dequant) and of CANN. Rows that group_list leaves out are 0 here; on a device they are what was there before.
"""

import torch
from torch import Tensor

from emulator.operator import Float32, Ints, Out, Tensors, aclnn, named
from emulator.ops.dynamic_quant import quantised
from emulator.ops.grouped_matmul import Parameters, Segment, segments
from emulator.ops.int_product import scaled, summed
from emulator.ops.packed import rounded

_FLOAT = 0


def _finalized(
    x: Tensor, weight: Tensor, scale: Tensor | None, bias: Tensor | None, by_row: Tensor | None, group_list: Tensor, shared: Tensor | None,
    logit: Tensor | None, row_index: Tensor | None, shared_weight: float, shared_offset: int, transposed: tuple[bool, bool], kind: int,
    out: Tensor,
) -> Tensor:  # fmt: skip
    if transposed[0]:
        raise ValueError("x is documented as not transposed")
    if x.is_floating_point():
        raise NotImplementedError(f"x of {x.dtype} is not emulated; it is of Ascend 950")
    given = Parameters([weight.mT if transposed[1] else weight], _listed(bias), _listed(scale), None, None, None)
    total = torch.zeros(out.shape)
    for group, start, end in segments(group_list.tolist(), kind, len(x)):
        rows = slice(start, end)
        values = given.product(x[rows], None if by_row is None else by_row[rows], group, torch.float32).float()
        if logit is not None:
            values = values * logit[rows].float().unsqueeze(-1)
        index = torch.arange(start, end) if row_index is None else row_index[rows].long()
        total.index_add_(0, index, values)
    if shared is not None:
        total[shared_offset : shared_offset + len(shared)] += shared_weight * shared.float()
    return total


def _listed(tensor: Tensor | None) -> list[Tensor] | None:
    return None if tensor is None else [tensor]


def _refuse(**given: Tensor | None) -> None:
    for name, tensor in given.items():
        if tensor is not None:
            raise NotImplementedError(f"{name} is not emulated")


@aclnn
def GroupedMatmulFinalizeRoutingV3(
    x: Tensor, weight: Tensor, scale: Tensor | None, bias: Tensor | None, offset: Tensor | None, antiquant_scale: Tensor | None,
    antiquant_offset: Tensor | None, per_token_scale: Tensor | None, group_list: Tensor, shared_input: Tensor | None, logit: Tensor | None,
    row_index: Tensor | None, dtype: int, shared_weight: Float32, shared_offset: int, transpose_x: bool, transpose_weight: bool,
    group_list_type: int, tuning: Ints | None, out: Out,
) -> Tensor:  # fmt: skip
    """x [m, k] of int8, weight [e, k, n] of int8 or packed int4, scale [e, n], per_token_scale and logit [m], row_index [m] -> [tokens, n].

    Row i of the grouped product, times its logit, is added to out[row_index[i]], and shared_input, times its weight, from shared_offset on.
    """
    _refuse(offset=offset, antiquant_scale=antiquant_scale, antiquant_offset=antiquant_offset)
    return _finalized(
        x, weight, scale, bias, per_token_scale, group_list, shared_input, logit, row_index, shared_weight, shared_offset,
        (transpose_x, transpose_weight), group_list_type, out,
    )  # fmt: skip


named("aclnnGroupedMatmulFinalizeRoutingWeightNzV2")(GroupedMatmulFinalizeRoutingV3)


@aclnn
def GroupedMatmulFinalizeRoutingV2(
    x: Tensor, weight: Tensor, scale: Tensor | None, bias: Tensor | None, offset: Tensor | None, antiquant_scale: Tensor | None,
    antiquant_offset: Tensor | None, per_token_scale: Tensor | None, group_list: Tensor, shared_input: Tensor | None, logit: Tensor | None,
    row_index: Tensor | None, dtype: int, shared_weight: Float32, shared_offset: int, transpose_x: bool, transpose_weight: bool,
    group_list_type: int, out: Out,
) -> Tensor:  # fmt: skip
    """As GroupedMatmulFinalizeRoutingV3."""
    _refuse(offset=offset, antiquant_scale=antiquant_scale, antiquant_offset=antiquant_offset)
    return _finalized(
        x, weight, scale, bias, per_token_scale, group_list, shared_input, logit, row_index, shared_weight, shared_offset,
        (transpose_x, transpose_weight), group_list_type, out,
    )  # fmt: skip


@aclnn
def GroupedMatmulFinalizeRoutingWeightNz(
    x: Tensor, weight: Tensor, scale: Tensor | None, bias: Tensor | None, per_token_scale: Tensor | None, group_list: Tensor,
    shared_input: Tensor | None, logit: Tensor | None, row_index: Tensor | None, dtype: int, shared_weight: Float32, shared_offset: int,
    transpose_x: bool, transpose_weight: bool, group_list_type: int, out: Out,
) -> Tensor:  # fmt: skip
    """As GroupedMatmulFinalizeRoutingV3."""
    return _finalized(
        x, weight, scale, bias, per_token_scale, group_list, shared_input, logit, row_index, shared_weight, shared_offset,
        (transpose_x, transpose_weight), group_list_type, out,
    )  # fmt: skip


def _swiglu_quantised(
    x: Tensor, given: Parameters, x_scale: Tensor, smooth: Tensor | None, found: list[Segment], out: Tensor, scale_out: Tensor
) -> tuple[Tensor, Tensor]:
    """The first half of a group's product goes through silu, the second half is its gate; then each row has a scale of its own."""
    numbers, scales = torch.zeros(out.shape, dtype=torch.int32), torch.zeros(scale_out.shape)
    for group, start, end in found:
        rows = slice(start, end)
        act, gate = given.product(x[rows], x_scale[rows], group, torch.float32).float().chunk(2, -1)
        values = torch.nn.functional.silu(act) * gate
        if smooth is not None:
            values = values * smooth[group].float()
        codes, factor = quantised(values)
        numbers[rows], scales[rows] = codes, factor.flatten()
    return numbers, scales


@aclnn
def GroupedMatmulSwigluQuantWeightNZ(
    x: Tensor, weight: Tensor, bias: Tensor | None, offset: Tensor | None, weight_scale: Tensor, x_scale: Tensor, group_list: Tensor,
    out: Out, scale_out: Out, offset_out: Out,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """x [m, k] of int8, weight [e, k, n] of int8 or packed int4, weight_scale [e, n], x_scale [m], group_list ends -> int8 [m, n / 2], [m].

    The third result is reserved; it is NaN here. With int4, bias is the assisting 8 * (sum of weight * weight_scale).
    """
    _refuse(offset=offset)
    given = Parameters([weight], _listed(bias), [weight_scale], None, None, None)
    numbers, scales = _swiglu_quantised(x, given, x_scale, None, segments(group_list.tolist(), 0, len(x)), out, scale_out)
    return numbers, scales, torch.full_like(offset_out, torch.nan)


@aclnn
def GroupedMatmulSwigluQuantV2(
    x: Tensor, weight: Tensors, weight_scale: Tensors, assist: Tensors | None, bias: Tensor | None, x_scale: Tensor,
    smooth_scale: Tensor | None, group_list: Tensor, dequant_mode: int, dequant_dtype: int, quant_mode: int, group_list_type: int,
    tuning: Ints | None, out: Out, scale_out: Out,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As GroupedMatmulSwigluQuantWeightNZ; assist goes with int4 weights, smooth_scale [e, n / 2] or [e] with int4 by int4."""
    _refuse(bias=bias)
    if x.is_floating_point() or out.dtype != torch.int8 or dequant_dtype != _FLOAT:
        raise NotImplementedError(f"x of {x.dtype}, a result of {out.dtype}, numbers of type {dequant_dtype} between: not emulated")
    given = Parameters(weight, assist or None, weight_scale, None, None, None)
    smooth = None if smooth_scale is None else smooth_scale.reshape(len(smooth_scale), -1)
    return _swiglu_quantised(x, given, x_scale, smooth, segments(group_list.tolist(), group_list_type, len(x)), out, scale_out)


named("aclnnGroupedMatmulSwigluQuantWeightNzV2")(GroupedMatmulSwigluQuantV2)


@aclnn
def QuantGroupedMatmulDequant(
    x: Tensor, weight: Tensor, weight_scale: Tensor, group_list: Tensor, bias: Tensor | None, x_scale: Tensor | None,
    x_offset: Tensor | None, smooth_scale: Tensor | None, mode: str, transposed: bool, out: Out,
) -> Tensor:  # fmt: skip
    """x [m, k] is quantised here (by token, or with the scale given), weight [e, n, k] of int8, weight_scale [e, n], group_list ends."""
    _refuse(x_offset=x_offset)
    values = x.float() if smooth_scale is None else x.float() * smooth_scale.float()
    if x_scale is None and mode != "pertoken":
        raise ValueError(f"quant_mode {mode} needs x_scale")
    codes, scale = (
        quantised(values) if x_scale is None else (rounded(values / x_scale.float().reshape(-1, 1)), x_scale.float().reshape(-1, 1))
    )
    by_row = scale.expand(len(x), 1).reshape(-1)
    encoded = weight_scale.dtype == torch.int64  # multiplied by the scale of x already
    total = torch.zeros(out.shape)
    for group, start, end in segments(group_list.tolist(), 0, len(x)):
        sums = summed(codes[start:end], weight[group].t() if transposed else weight[group])
        extra = None if bias is None else bias[group]
        total[start:end] = scaled(sums, weight_scale[group], None if encoded else by_row[start:end], extra)
    return total


named("aclnnQuantGroupedMatmulDequantWeightNZ")(QuantGroupedMatmulDequant)
