"""Products of quantised operands, and of quantised weights with real numbers. Knows no groups of experts.

Definitions: documentation of torch_npu (npu_quant_matmul, npu_weight_quant_batchmatmul) and of CANN (aclnnQuantMatmulV5, ...WeightNz,
aclnnWeightQuantBatchMatmulV2, ...V3, aclnnQuantMatmulDequant). Sums of integer products are exact and then float32. An operator of a
weight in the blocked format NZ gets its elements as any other: formats are not modelled.
"""

import torch
from torch import Tensor

from emulator.operator import Int32, Out, aclnn, named
from emulator.ops.dynamic_quant import quantised
from emulator.ops.int_product import left_of, numbers, scaled, summed, summed_by_group, weight_of
from emulator.ops.packed import rounded


def _given(tensor: Tensor | None) -> Tensor | None:
    """torch_npu passes an empty tensor for one that there is not."""
    return None if tensor is None or not tensor.numel() else tensor


def _blocks(x: Tensor, weight: Tensor, by_row: Tensor, scale: Tensor, sizes: tuple[int, int, int]) -> Tensor:
    """Scales by blocks: by_row [m / size, k / size], scale [k / size, n / size]. Sizes are of m, n and k."""
    rows, columns, depth = sizes
    total = torch.zeros((*x.shape[:-1], weight.shape[-1]))
    for group in range(scale.shape[-2]):
        part = slice(group * depth, (group + 1) * depth)
        left = by_row[..., group].float().repeat_interleave(rows, -1)[..., : x.shape[-2]].unsqueeze(-1)
        right = scale[..., group, :].float().repeat_interleave(columns, -1)[..., : weight.shape[-1]].unsqueeze(-2)
        total += summed(x[..., part], weight[..., part, :]).float() * left * right
    return total


def _whole_numbers(values: Tensor, out: Tensor) -> Tensor:
    return rounded(values) if out.dtype == torch.int8 else values


@aclnn
def QuantMatmulV5(
    x1: Tensor, x2: Tensor, x1_scale: Tensor | None, x2_scale: Tensor, y_scale: Tensor | None, x1_offset: Tensor | None,
    x2_offset: Tensor | None, y_offset: Tensor | None, bias: Tensor | None, transpose1: bool, transpose2: bool, group_size: int, out: Out,
) -> Tensor:  # fmt: skip
    """x1 [..., m, k], x2 [..., k, n] of int8, or of int4 packed in int32; x2_scale [1 or n], x1_scale [m]; out int8, int32, fp16 or bf16.

    group_size has the sizes of groups of m, n and k, 16 bits each: with all three, both scales are by blocks; with k alone, x2 is int4 and
    x2_scale [k / size, n], and either x1 is int8 and y_offset [n] = 8 * (sum of x2 * x2_scale), or x1 is int4 and x2_offset shifts x2.
    """
    if _given(x1_offset) is not None or _given(y_scale) is not None:
        raise NotImplementedError("x1_offset and y_scale are not emulated; no A2 or A3 takes them")
    if x1.is_floating_point() or x2.is_floating_point():
        raise NotImplementedError(f"operands of {x1.dtype} and {x2.dtype} are not emulated; they are of Ascend 950")
    left, right = left_of(x1.mT if transpose1 else x1), weight_of(x2.mT if transpose2 else x2)
    x1_scale, y_offset, bias, x2_offset = (_given(tensor) for tensor in (x1_scale, y_offset, bias, x2_offset))
    sizes = (group_size >> 32, group_size >> 16 & 0xFFFF, group_size & 0xFFFF)
    if out.dtype == torch.int32:  # the sums as they are: whoever wants them scales them himself
        sums = summed(left, right).long()
        return sums if bias is None else sums + bias
    if x1.dtype == torch.int8 and x2.dtype == torch.int32:
        return _half_of_int8(left, right, x1_scale, x2_scale, y_offset)
    if x1_scale is not None and x2_offset is not None and x2_scale.dim() == 2:
        shifted = right.float() - x2_offset.float().repeat_interleave(right.shape[-2] // len(x2_offset), 0)
        return summed_by_group(left, shifted, x2_scale) * x1_scale.float().reshape(-1, 1)
    if x1_scale is not None and all(sizes):
        result = _blocks(left, right, x1_scale, x2_scale, sizes)
        return result if bias is None else result + bias.float()
    return _whole_numbers(scaled(summed(left, right), x2_scale, x1_scale, bias, x2_offset), out)


def _half_of_int8(x: Tensor, weight: Tensor, x_scale: Tensor | None, scale: Tensor, assist: Tensor | None) -> Tensor:
    """x is computed as two int4, of which the lower is shifted by -8; the assisting y_offset takes that back."""
    if x_scale is None or assist is None:
        raise ValueError("int8 by int4 needs a scale for every token and the offset 8 * (sum of x2 * scale)")
    product = summed_by_group(x.int() - 8, weight, numbers(scale)[0].view(-1, weight.shape[-1])) + assist.float()
    return product * x_scale.float().reshape(-1, 1)


named("aclnnQuantMatmulWeightNz")(QuantMatmulV5)


@aclnn
def QuantMatmulDequant(
    x: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor | None, x_scale: Tensor | None, x_offset: Tensor | None,
    smooth_scale: Tensor | None, mode: str, transposed: bool, out: Out,
) -> Tensor:  # fmt: skip
    """x [m, k] is quantised here (by token, or with the one x_scale given), weight [n, k] of int8, weight_scale [n] -> [m, n]."""
    if x_offset is not None:
        raise NotImplementedError("x_offset is documented as not supported")
    values = x.float() if smooth_scale is None else x.float() * smooth_scale.float()
    if x_scale is not None:
        scale = x_scale.float().reshape(-1, 1)
        codes = rounded(values / scale)
    elif mode == "pertoken":
        codes, scale = quantised(values)
    else:
        raise ValueError(f"quant_mode {mode} needs x_scale")
    # An encoded weight scale has been multiplied by the scale of x already.
    by_row = None if weight_scale.dtype == torch.int64 else scale.expand(len(x), 1).reshape(-1)
    return scaled(summed(codes, weight.t() if transposed else weight), weight_scale, by_row, bias)


@aclnn
def WeightQuantBatchMatmulV2(
    x: Tensor, weight: Tensor, antiquant_scale: Tensor, antiquant_offset: Tensor | None, quant_scale: Tensor | None,
    quant_offset: Tensor | None, bias: Tensor | None, group_size: Int32, out: Out,
) -> Tensor:  # fmt: skip
    """x [..., m, k] of fp16 or bf16, weight [..., k, n] of int8 or packed int4 -> x @ ((weight + offset) * scale) + bias.

    The result is int8 with quant_scale. antiquant_scale [1], [n], [1, n] or, with group_size, [k / group_size, n].
    """
    return _weight_quantised(x, weight, antiquant_scale, antiquant_offset, quant_scale, bias, out)


@aclnn
def WeightQuantBatchMatmulV3(
    x: Tensor, weight: Tensor, antiquant_scale: Tensor, antiquant_offset: Tensor | None, quant_scale: Tensor | None,
    quant_offset: Tensor | None, bias: Tensor | None, group_size: Int32, inner_precise: int, out: Out,
) -> Tensor:  # fmt: skip
    """As WeightQuantBatchMatmulV2; inner_precise 1 is a faster way to the same."""
    return _weight_quantised(x, weight, antiquant_scale, antiquant_offset, quant_scale, bias, out)


named("aclnnWeightQuantBatchMatmulNz")(WeightQuantBatchMatmulV2)


def restored(weight: Tensor, scale: Tensor, offset: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return a quantised weight [..., k, n] as real numbers of a type; scale [1], [n], [1, n] or [groups of k, n]."""
    codes = weight_of(weight).float()
    factor, shift = numbers(scale)[0], None if offset is None else offset.float()
    if factor.dim() > 1 and factor.shape[-2] > 1:
        size = codes.shape[-2] // factor.shape[-2]
        factor = factor.repeat_interleave(size, -2)
        shift = None if shift is None else shift.repeat_interleave(size, -2)
    return ((codes if shift is None else codes + shift) * factor).to(dtype)


def _weight_quantised(
    x: Tensor, weight: Tensor, scale: Tensor, offset: Tensor | None, quant_scale: Tensor | None, bias: Tensor | None, out: Tensor
) -> Tensor:
    if weight.is_floating_point():
        raise NotImplementedError(f"a weight of {weight.dtype} is not emulated; it is of Ascend 950")
    product = x.float() @ restored(weight, scale, offset, x.dtype).float()
    if bias is not None:
        product = product + bias.float()
    if quant_scale is None:
        return product
    factor, shift = numbers(quant_scale)
    return _whole_numbers(product * factor if shift is None else product * factor + shift, out)
