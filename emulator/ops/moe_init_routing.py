"""Mixtures of experts, on the way in: tokens repeated for their experts, in the experts' order, quantised if asked for. Knows no gate.

Definitions: documentation of torch_npu (npu_moe_init_routing, ..._v2, ..._quant, npu_moe_compute_expert_tokens, npu_moe_re_routing) and of
CANN (aclnnMoeInitRoutingV3 and its forerunners). n tokens with k experts each are n * k rows. Rows of expanded_x that no token fills are 0
here; on a device they are what was there before, and so is whatever is documented as not output.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from emulator.operator import Ints, Out, aclnn
from emulator.ops.dynamic_quant import quantised
from emulator.ops.packed import rounded

_NONE, _STATIC, _DYNAMIC, _INT4 = -1, 0, 1, 13
_ACL_INT8, _ACL_INT4 = 2, 29
_CUMULATIVE, _COUNT, _PAIRS = range(3)
_AFTER_ALL = torch.iinfo(torch.int32).max


class _Sorted(NamedTuple):
    """Rows in the order of their experts: which row stands where, its expert, and how many experts are in the active range."""

    rows: Tensor
    experts: Tensor
    active: int


def _sorted(expert_idx: Tensor, start: int, end: int) -> _Sorted:
    experts = expert_idx.reshape(-1).long()
    key = torch.where(experts < start, _AFTER_ALL, experts)
    rows = torch.argsort(key, stable=True)
    return _Sorted(rows, experts[rows], int(((experts >= start) & (experts < end)).sum()))


def _counts(experts: Tensor, start: int, end: int) -> Tensor:
    return torch.bincount(experts - start, minlength=end - start)


def _gather_index(order: _Sorted) -> Tensor:
    """For each row where it went, -1 if nowhere."""
    index = torch.full_like(order.rows, -1)
    index[order.rows[: order.active]] = torch.arange(order.active)
    return index


def _slots(order: _Sorted, capacity: int) -> tuple[Tensor, Tensor]:
    """Return which rows fit their expert's capacity, in the order of experts, and the slots that they take."""
    experts = order.experts[: order.active]
    place = torch.arange(order.active) - torch.searchsorted(experts, experts)  # within its expert
    fits = place < capacity
    return order.rows[: order.active][fits], (experts * capacity + place)[fits]


class _Moved(NamedTuple):
    """Where the output's rows come from: the rows of x * k that are taken, the output rows that they fill, and their experts."""

    rows: Tensor
    slots: Tensor
    experts: Tensor
    where: Tensor


def _moved(order: _Sorted, active_num: int, capacity: int, drop_pad: bool, flat: Tensor) -> _Moved:
    if drop_pad:
        rows, slots = _slots(order, capacity)
        index = torch.full_like(order.rows, -1)
        index[rows] = slots
    else:
        count = min(active_num, order.active) if active_num > 0 else order.active
        rows, slots, index = order.rows[:count], torch.arange(count), _gather_index(order)
    return _Moved(rows, slots, flat[rows].long(), index)


def _placed(values: Tensor, slots: Tensor, out: Tensor) -> Tensor:
    """Put rows where they belong in a tensor shaped as the output, and 0 elsewhere."""
    result = torch.zeros(out.shape, dtype=values.dtype)
    result.view(-1, *values.shape[1:])[slots] = values
    return result


def _quantised_rows(x: Tensor, scale: Tensor | None, offset: Tensor | None, mode: int, experts: Tensor) -> tuple[Tensor, Tensor | None]:
    """Quantise expanded rows; experts are counted from the first active one. A smooth scale is [1 or experts, h]."""
    if mode == _STATIC:
        if scale is None or offset is None:
            raise ValueError("static quantisation needs a scale and an offset")
        return rounded(x.float() * scale.float().reshape(-1)[0] + offset.float().reshape(-1)[0]), None
    if mode not in (_DYNAMIC, _INT4):
        raise NotImplementedError(f"quant_mode {mode} is not emulated; -1, 0, 1 and 13 are")
    values = x.float()
    if scale is not None:
        values = values * (scale.float() if len(scale) == 1 else scale.float()[experts])
    return quantised(values, _ACL_INT8 if mode == _DYNAMIC else _ACL_INT4)


@aclnn
def MoeInitRoutingV3(
    x: Tensor, expert_idx: Tensor, scale: Tensor | None, offset: Tensor | None, active_num: int, expert_capacity: int, expert_num: int,
    drop_pad_mode: int, tokens_num_type: int, tokens_num_flag: bool, quant_mode: int, active_expert_range: Ints, row_idx_type: int,
    expanded_x: Out, expanded_row_idx: Out, tokens_count: Out, expanded_scale: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """x [n, h], expert_idx [n, k]; row_idx_type 0: where each row went, 1: whence it came.

    drop_pad_mode 1 gives every expert expert_capacity rows, of which those without a token are 0.
    quant_mode -1 none (scale [n] goes with the rows), 0 static, 1 dynamic to int8, 13 dynamic to int4 (smooth scales [experts or 1, h]).
    """
    start, end = active_expert_range or (0, expert_num)
    if drop_pad_mode and (start, end) != (0, expert_num):
        raise ValueError(f"drop_pad_mode 1 needs all experts to be active, not [{start}, {end}) of {expert_num}")
    order = _sorted(expert_idx, start, end)
    moved = _moved(order, active_num, expert_capacity, drop_pad_mode == 1, expert_idx.reshape(-1))
    tokens = moved.rows // expert_idx.shape[1]
    rows, factor = x[tokens], None if scale is None else scale[tokens] if quant_mode == _NONE else None
    if quant_mode != _NONE:
        rows, factor = _quantised_rows(rows, scale, offset, quant_mode, moved.experts - start)
    if drop_pad_mode == 0 and row_idx_type == 1:
        moved = moved._replace(where=order.rows)
    scales = torch.zeros_like(expanded_scale) if factor is None else _placed(factor.reshape(len(tokens), -1), moved.slots, expanded_scale)
    counts = torch.zeros_like(tokens_count)
    if tokens_num_flag:
        counts = _histogram(order.experts[: order.active], start, end, _COUNT if drop_pad_mode else tokens_num_type, expert_num)
    return _placed(rows, moved.slots, expanded_x), moved.where, counts, scales


def _histogram(experts: Tensor, start: int, end: int, kind: int, expert_num: int) -> Tensor:
    counts = _counts(experts, start, end)
    if kind == _COUNT:
        return counts
    if kind == _CUMULATIVE:
        return counts.cumsum(0)
    if kind != _PAIRS:
        raise ValueError(f"expert_tokens_num_type is {kind}; it is 0 (cumulative), 1 (counts) or 2 (pairs of expert and count)")
    pairs = torch.zeros((expert_num, 2), dtype=torch.int64)
    found = counts.nonzero().flatten()
    pairs[: len(found)] = torch.stack([found + start, counts[found]], 1)
    return pairs


@aclnn
def MoeInitRouting(
    x: Tensor, row_idx: Tensor, expert_idx: Tensor, active_num: int, expanded_x: Out, expanded_row_idx: Out, expanded_expert_idx: Out
) -> tuple[Tensor, Tensor, Tensor]:
    """x [n, h], row_idx and expert_idx [n, k]: row_idx names the rows, and row i is token i % n."""
    order = torch.argsort(expert_idx.reshape(-1).long(), stable=True)
    rows = row_idx.reshape(-1).long()[order]
    index = torch.empty_like(rows)
    index[rows] = torch.arange(len(rows))
    count = min(active_num, len(x)) * expert_idx.shape[1]
    return x[rows[:count] % len(x)], index, expert_idx.reshape(-1)[order]


@aclnn
def MoeInitRoutingV2(
    x: Tensor, expert_idx: Tensor, active_num: int, expert_capacity: int, expert_num: int, drop_pad_mode: int, tokens_flag: int,
    before_capacity_flag: bool, expanded_x: Out, expanded_row_idx: Out, tokens_count: Out | None, before_capacity: Out | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:  # fmt: skip
    """x [n, h], expert_idx [n, k]; tokens_flag 1: cumulative counts, 2: counts; before_capacity: counts before rows are dropped."""
    order = _sorted(expert_idx, 0, expert_num)
    moved = _moved(order, active_num, expert_capacity, drop_pad_mode == 1, expert_idx.reshape(-1))
    rows = _placed(x[moved.rows // expert_idx.shape[1]], moved.slots, expanded_x)
    return rows, moved.where, *_tokens(order, expert_num, tokens_flag, before_capacity_flag, tokens_count, before_capacity)


def _tokens(
    order: _Sorted, expert_num: int, flag: int, before: bool, tokens_out: Tensor | None, before_out: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    counts = _counts(order.experts[: order.active], 0, expert_num)
    tokens = None if tokens_out is None else counts.cumsum(0) if flag == 1 else counts if flag == 2 else torch.zeros_like(tokens_out)
    return tokens, None if before_out is None else counts if before else torch.zeros_like(before_out)


@aclnn
def MoeInitRoutingQuantV2(
    x: Tensor, expert_idx: Tensor, scale: Tensor | None, offset: Tensor | None, active_num: int, expert_capacity: int, expert_num: int,
    drop_pad_mode: int, tokens_flag: int, before_capacity_flag: bool, quant_mode: int,
    expanded_x: Out, expanded_row_idx: Out, tokens_count: Out | None, before_capacity: Out | None, expanded_scale: Out | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """As MoeInitRoutingV2, to int8: quant_mode 0 with the scale and offset given, 1 with a scale for every row."""
    order = _sorted(expert_idx, 0, expert_num)
    moved = _moved(order, active_num, expert_capacity, drop_pad_mode == 1, expert_idx.reshape(-1))
    rows, factor = _quantised_rows(x[moved.rows // expert_idx.shape[1]], scale, offset, quant_mode, moved.experts)
    scales = None if expanded_scale is None or factor is None else _placed(factor, moved.slots, expanded_scale)
    tokens = _tokens(order, expert_num, tokens_flag, before_capacity_flag, tokens_count, before_capacity)
    return _placed(rows, moved.slots, expanded_x), moved.where, *tokens, scales


@aclnn
def MoeComputeExpertTokens(sorted_experts: Tensor, num_experts: int, out: Out) -> Tensor:
    """How many rows belong to an expert or to one before it."""
    return torch.searchsorted(sorted_experts, torch.arange(num_experts, dtype=sorted_experts.dtype), right=True)


@aclnn
def MoeReRouting(
    tokens: Tensor, per_rank: Tensor, scales: Tensor | None, num_type: int, idx_type: int,
    permuted: Out, permuted_scales: Out, index: Out, expert_tokens: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """tokens [a, h] lie rank by rank, per_rank [ranks, experts] counts them; they are put expert by expert; index says whence."""
    if num_type != 1 or idx_type != 0:
        raise ValueError(f"expert_token_num_type is {num_type} and idx_type {idx_type}; documented are 1 and 0 only")
    counts = per_rank.long()
    experts = torch.arange(counts.shape[1]).repeat(len(counts)).repeat_interleave(counts.flatten())
    if len(experts) != len(tokens):
        raise ValueError(f"{len(experts)} tokens are counted and {len(tokens)} are there")
    order = torch.argsort(experts, stable=True)
    return tokens[order], torch.zeros_like(permuted_scales) if scales is None else scales[order], order, counts.sum(0)
