"""Products of groups of rows, each with its own weight: the experts of a mixture. Knows no gate and no routing.

Definitions: documentation of torch_npu (npu_grouped_matmul, npu_grouped_matmul_add_) and of CANN (aclnnGroupedMatmulV5, ...WeightNz,
...Add). Rows that group_list leaves out are 0 here; on a device they are what was there before. An operator of a weight in the blocked
format NZ gets its elements as any other: formats are not modelled.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from emulator.operator import Ints, Out, Outs, Tensors, aclnn
from emulator.ops.int_product import left_of, numbers, scaled, summed, summed_by_group, weight_of
from emulator.ops.packed import rounded
from emulator.ops.quant_matmul import restored

_REALS = (torch.float16, torch.bfloat16, torch.float32)
_BY_M, _BY_K = 0, 2
_CUMULATIVE, _COUNTS, _PAIRS = range(3)


class Segment(NamedTuple):
    """Rows [start, end) and the group, that is the weight, which they belong to."""

    group: int
    start: int
    end: int


def segments(groups: list[Any], kind: int, rows: int) -> list[Segment]:
    """Read a group_list: ends (0), sizes (1), or pairs of group and size (2). Raises ValueError: it falls, or reaches beyond the rows."""
    if kind not in (_CUMULATIVE, _COUNTS, _PAIRS):
        raise ValueError(f"group_list_type is {kind}; it is 0 (ends), 1 (sizes) or 2 (pairs of group and size)")
    found, start = [], 0
    for group, number in groups if kind == _PAIRS else enumerate(groups):
        end = number if kind == _CUMULATIVE else start + number
        if not start <= end <= rows:
            raise ValueError(f"group_list gives group {group} rows {start} to {end} of {rows}")
        found.append(Segment(group, start, end))
        start = end
    return found


@dataclass(frozen=True)
class Parameters:
    """What goes with the weights: lists as long as the weights', or of one tensor whose first dimension is the group."""

    weight: list[Tensor]
    bias: list[Tensor] | None
    scale: list[Tensor] | None
    offset: list[Tensor] | None
    antiquant_scale: list[Tensor] | None
    antiquant_offset: list[Tensor] | None

    @property
    def stacked(self) -> bool:
        """Whether one tensor holds the weights of all groups."""
        return len(self.weight) == 1 and self.weight[0].dim() == 3

    def of(self, given: list[Tensor] | None, group: int) -> Tensor | None:
        """Return a group's part of a parameter."""
        if not given:
            return None
        return given[0][group] if self.stacked else given[group]

    def product(self, x: Tensor, by_row: Tensor | None, group: int, out: torch.dtype) -> Tensor:
        """Multiply rows with a group's weight as their types say: real numbers, quantised weights, or integers."""
        weight, bias = self.weight[0][group] if self.stacked else self.weight[group], self.of(self.bias, group)
        if self.offset:
            raise NotImplementedError("an offset is documented as not supported, but for int8 by int4, where it is not emulated")
        if not x.is_floating_point():
            return self._integers(x, weight, bias, self.of(self.scale, group), by_row, out)
        if x.dtype not in _REALS or (weight.is_floating_point() and weight.dtype != x.dtype):
            raise NotImplementedError(f"operands of {x.dtype} and {weight.dtype} are not emulated; they are of Ascend 950")
        if weight.is_floating_point():
            return torch.matmul(x, weight) if bias is None else torch.matmul(x.float(), weight.float()) + bias.float()
        factor = self.of(self.antiquant_scale, group)
        if factor is None:
            raise ValueError("a quantised weight needs antiquant_scale")
        product = x.float() @ restored(weight, factor, self.of(self.antiquant_offset, group), x.dtype).float()
        return product if bias is None else product + bias.float()

    def _integers(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None, by_row: Tensor | None, out: torch.dtype
    ) -> Tensor:
        left, right = left_of(x), weight_of(weight)
        if scale is None:
            sums = summed(left, right).long()
            return sums if bias is None else sums + bias
        rows = torch.ones((len(x), 1)) if by_row is None else by_row.float().reshape(-1, 1)
        if weight.dtype == torch.int32:
            factor = numbers(scale)[0].view(-1, right.shape[-1])
            if x.dtype == torch.int32:
                return summed_by_group(left, right, factor) * rows
            if bias is None or self.offset:
                raise NotImplementedError(
                    "int8 by int4 is emulated with the assisting bias 8 * (sum of weight * scale), and without an offset"
                )
            # x is computed as two int4, of which the lower is shifted by -8; the assisting bias takes that back.
            return (summed_by_group(left.int() - 8, right, factor) + bias.float()) * rows
        values = scaled(summed(left, right), scale, by_row, bias)
        return rounded(values) if out == torch.int8 else values


def _activated(values: Tensor, kind: int) -> Tensor:
    if kind == 1:
        return values.relu()
    if kind == 2:
        return torch.nn.functional.gelu(values.float(), approximate="tanh")
    if kind == 4:
        return values.float() * torch.sigmoid(1.702 * values.float())
    if kind == 5:
        return torch.nn.functional.silu(values.float())
    raise ValueError(f"act_type is {kind}; it is 0 (none), 1 (relu), 2 (gelu, tanh), 4 (fast gelu) or 5 (silu)")


def _by_rows(
    x: list[Tensor], given: Parameters, by_row: list[Tensor] | None, found: list[Segment], act: int, outs: list[Tensor]
) -> list[Tensor]:
    """Groups of rows of one x, or one x for each group; the results lie in one output or in one for each group."""
    results = []
    for place, (group, start, end) in enumerate(found):
        rows = x[0][start:end] if len(x) == 1 else x[place]
        scales = None if not by_row else by_row[0][start:end] if len(by_row) == 1 else by_row[place]
        result = given.product(rows, scales, group, outs[0].dtype)
        results.append(_activated(result, act) if act else result)
    if len(outs) > 1:
        return results
    total = torch.zeros(outs[0].shape, dtype=results[0].dtype if results else outs[0].dtype)
    if results:
        total[: found[-1].end] = torch.cat(results)
    return [total]


def _by_depth(x: Tensor, weight: list[Tensor], found: list[Segment], outs: list[Tensor]) -> list[Tensor]:
    """Groups of the dimension that is summed over: x [m, k], weight [k, n] -> [groups, m, n]."""
    if len(weight) > 1:
        raise NotImplementedError("groups of k of several weights are not emulated")
    results = [x[:, start:end] @ weight[0][start:end] for _, start, end in found]
    return [torch.stack(results)] if len(outs) == 1 and outs[0].dim() == 3 else results


def grouped(
    x: list[Tensor], given: Parameters, by_row: list[Tensor] | None, groups: Tensor | Ints | None, group_type: int, kind: int, act: int,
    outs: list[Tensor],
) -> list[Tensor]:  # fmt: skip
    """Compute npu_grouped_matmul. group_type -1: no groups, 0: of rows (m), 2: of the summed dimension (k)."""
    if act and not by_row:
        raise ValueError("an activation is documented with scales for every token only")
    listed = groups.tolist() if isinstance(groups, Tensor) else list(groups or ())
    if group_type == _BY_K:
        return _by_depth(x[0], given.weight, segments(listed, kind, x[0].shape[1]), outs)
    rows = sum(len(one) for one in x)
    if listed:
        found = segments(listed, kind, rows)
    else:
        sizes = [len(one) for one in x]
        found = [Segment(place, sum(sizes[:place]), sum(sizes[: place + 1])) for place in range(len(x))]
    if len(x) > 1 and any(end - start != len(one) for one, (_, start, end) in zip(x, found, strict=True)):
        raise ValueError("group_list gives other sizes than the tensors of x have")
    return _by_rows(x, given, by_row, found, act, outs)


@aclnn
def GroupedMatmul(
    x: Tensors, weight: Tensors, bias: Tensors | None, scale: Tensors | None, offset: Tensors | None, antiquant_scale: Tensors | None,
    antiquant_offset: Tensors | None, group_list: Ints | None, split_item: int, out: Outs,
) -> list[list[Tensor]]:  # fmt: skip
    """As GroupedMatmulV5, with group_list as ends in a list."""
    given = Parameters(weight, bias, scale, offset, antiquant_scale, antiquant_offset)
    return [grouped(x, given, None, group_list, _BY_M, _CUMULATIVE, 0, out)]


@aclnn
def GroupedMatmulV4(
    x: Tensors, weight: Tensors, bias: Tensors | None, scale: Tensors | None, offset: Tensors | None, antiquant_scale: Tensors | None,
    antiquant_offset: Tensors | None, per_token_scale: Tensors | None, group_list: Tensor | None, activation_input: Tensors | None,
    activation_quant_scale: Tensors | None, activation_quant_offset: Tensors | None, split_item: int, group_type: int,
    group_list_type: int, act_type: int, out: Outs, act_out: Tensors | None, dynamic_quant_scale: Tensors | None,
) -> list[list[Tensor]]:  # fmt: skip
    """As GroupedMatmulV5."""
    given = Parameters(weight, bias, scale, offset, antiquant_scale, antiquant_offset)
    return [grouped(x, given, per_token_scale, group_list, group_type, group_list_type, act_type, out)]


@aclnn
def GroupedMatmulV5(
    x: Tensors, weight: Tensors, bias: Tensors | None, scale: Tensors | None, offset: Tensors | None, antiquant_scale: Tensors | None,
    antiquant_offset: Tensors | None, per_token_scale: Tensors | None, group_list: Tensor | None, activation_input: Tensors | None,
    activation_quant_scale: Tensors | None, activation_quant_offset: Tensors | None, split_item: int, group_type: int,
    group_list_type: int, act_type: int, tuning: Ints | None, out: Outs, act_out: Tensors | None, dynamic_quant_scale: Tensors | None,
) -> list[list[Tensor]]:  # fmt: skip
    """x [m, k] or one for each group, weight [groups, k, n] or one [k, n] for each group -> [m, n] or one for each group.

    Types: fp16, bf16, fp32; these by int8 or int4 with antiquant_scale; int8 by int8 (scale [groups, n], per_token_scale [m]); int8 by int4
    (bias 8 * sum of weight * scale); int4 by int4 (scale [groups, groups of k, n]). int4 is packed in int32. tuning changes no result.
    """
    given = Parameters(weight, bias, scale, offset, antiquant_scale, antiquant_offset)
    return [grouped(x, given, per_token_scale, group_list, group_type, group_list_type, act_type, out)]


@aclnn
def GroupedMatmulWeightNz(
    x: Tensors, weight: Tensors, bias: Tensors | None, scale: Tensors | None, offset: Tensors | None, antiquant_scale: Tensors | None,
    antiquant_offset: Tensors | None, per_token_scale: Tensors | None, group_list: Tensor | None, activation_input: Tensors | None,
    activation_quant_scale: Tensors | None, activation_quant_offset: Tensors | None, split_item: int, group_type: int,
    group_list_type: int, act_type: int, tuning: Ints | None, quant_group_size: int,
    out: Outs, act_out: Tensors | None, dynamic_quant_scale: Tensors | None,
) -> list[list[Tensor]]:  # fmt: skip
    """As GroupedMatmulV5; the size of a group of k follows from the scale's shape."""
    given = Parameters(weight, bias, scale, offset, antiquant_scale, antiquant_offset)
    return [grouped(x, given, per_token_scale, group_list, group_type, group_list_type, act_type, out)]


def _add(
    y: Tensor, x: Tensor, weight: Tensor, groups: Tensor, transpose_x: bool, transpose_weight: bool, group_type: int, kind: int
) -> Tensor:
    if group_type != _BY_K or not transpose_x or transpose_weight:
        raise ValueError("documented are groups of k (group_type 2) of a transposed x and a weight as it is")
    found = segments(groups.tolist(), kind, len(x))
    added = torch.stack([x[start:end].t().float() @ weight[start:end].float() for _, start, end in found])
    return y.float() + added.view(y.shape)


@aclnn
def GroupedMatmulAdd(
    x: Tensor, weight: Tensor, group_list: Tensor, y: Out, transpose_x: bool, transpose_weight: bool, group_type: int
) -> Tensor:
    """y [groups * m, n] += x^T @ weight for each group of k: x [k, m], weight [k, n]; group_list holds ends."""
    return _add(y, x, weight, group_list, transpose_x, transpose_weight, group_type, _CUMULATIVE)


@aclnn
def GroupedMatmulAddV2(
    x: Tensor, weight: Tensor, group_list: Tensor, y: Out, transpose_x: bool, transpose_weight: bool, group_type: int, kind: int
) -> Tensor:
    """As GroupedMatmulAdd; group_list holds ends or sizes."""
    return _add(y, x, weight, group_list, transpose_x, transpose_weight, group_type, kind)
