"""Tokens to the rows of their experts and back, one row after the other. Knows no device.

Sources: pages of npu_moe_token_permute, npu_moe_token_unpermute and their forms with a routing map (Megatron-LM's token dispatcher),
of npu_moe_init_routing, _v2 and _quant, npu_moe_compute_expert_tokens, npu_moe_re_routing and npu_moe_finalize_routing.
A row is one of the `tokens * chosen` copies of tokens; row r belongs to token `r // chosen`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def by_expert(experts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows in order of their expert, equals in order of their row, and where each row went (int64)."""
    order = torch.sort(experts.reshape(-1), stable=True).indices
    return order, torch.sort(order).indices


def moe_token_permute(tokens: Tensor, indices: Tensor, num_out_tokens: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the first `num_out_tokens` (all) rows by expert [rows, width], and where each row went (int32)."""
    order, went = by_expert(indices)
    return tokens[order[:num_out_tokens] // indices.shape[1]], went.int()


def moe_token_unpermute(permuted: Tensor, sorted_indices: Tensor, probs: Tensor | None = None) -> Tensor:
    """Return for each token the sum of its rows, each times its probability [tokens, chosen]; rows beyond the last count as zero."""
    chosen = 1 if probs is None else probs.shape[1]
    missing = sorted_indices.numel() - permuted.shape[0]
    filled = torch.cat([permuted, permuted.new_zeros(missing, permuted.shape[1])]) if missing else permuted
    rows = torch.unflatten(filled[sorted_indices.long()], 0, (-1, chosen))
    return (rows if probs is None else rows * probs[..., None].to(rows.dtype)).sum(1)


def moe_token_permute_with_routing_map(
    tokens: Tensor, routing_map: Tensor, *, probs: Tensor, num_out_tokens: int, drop_and_pad: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows, their probabilities and an index, expert by expert, of a map [tokens, experts].

    The index says where each row went, token by token; with `drop_and_pad` every expert has as many rows (its tokens, then others) and
    the index says from which token each came.
    """
    experts = routing_map.shape[1]
    if drop_and_pad:
        first = torch.sort(routing_map.bool().int(), dim=0, descending=True, stable=True).indices[: num_out_tokens // experts]
        token, expert = first.T.reshape(-1), torch.arange(experts, device=tokens.device).repeat_interleave(num_out_tokens // experts)
        return tokens[token], probs[token, expert], token.int()
    expert, token = routing_map.bool().T.nonzero(as_tuple=True)
    went = torch.sort(token * experts + expert).indices
    return tokens[token], probs[token, expert], went.int()


def moe_token_unpermute_with_routing_map(
    permuted: Tensor, sorted_indices: Tensor, restore_shape: Sequence[int], *, probs: Tensor, routing_map: Tensor
) -> Tensor:
    """Undo `moe_token_permute_with_routing_map` without drops: for each token the sum of its rows, each times its probability."""
    token, expert = routing_map.bool().nonzero(as_tuple=True)
    rows = permuted[sorted_indices.long()] * probs[token, expert][:, None]
    return torch.zeros(tuple(restore_shape), dtype=rows.dtype, device=rows.device).index_add(0, token, rows)


def moe_init_routing(x: Tensor, row_idx: Tensor, expert_idx: Tensor, active_num: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows by expert, where each row went, and the experts in order; rows are numbered by `row_idx`, `row % tokens` is the token."""
    tokens, chosen = expert_idx.shape
    order = torch.sort(expert_idx.reshape(-1), stable=True).indices
    named = row_idx.reshape(-1)[order].long()
    went = torch.sort(named).indices
    return x[named[: active_num * chosen] % tokens], went.int(), expert_idx.reshape(-1)[order].int()


def moe_init_routing_v2(
    x: Tensor,
    expert_idx: Tensor,
    *,
    active_num: int = -1,
    expert_capacity: int = -1,
    expert_num: int,
    drop_pad_mode: int = 0,
    expert_tokens_num_type: int = 1,
    expert_tokens_num_flag: bool = True,
    row_idx_type: int = 0,
    active_expert_range: Sequence[int] = (),
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows, an index and counts.

    Without drops: the rows of experts in the range by expert, and zeros behind them; the index says where each row went (-1: nowhere;
    `row_idx_type` 0) or whence each came (1). With `drop_pad_mode` 1: [experts, capacity, width], each expert's first rows and zeros
    behind; the index is a place in that. Counts are of each expert (type 1), or summed up to it (0).
    """
    chosen, flat = expert_idx.shape[1], expert_idx.reshape(-1)
    start, end = active_expert_range or (0, expert_num)
    order = by_expert(torch.where((flat >= start) & (flat < end), flat, expert_num))[0]
    counts = torch.stack([(flat == expert).sum() for expert in range(start, end)])
    order, inside = order[: int(counts.sum())], int(counts.sum())
    went = torch.full_like(flat, -1, dtype=torch.long)
    if drop_pad_mode == 1:
        rows, place = x.new_zeros(expert_num * expert_capacity, x.shape[1]), torch.arange(inside, device=x.device)
        expert = flat[order].long()
        within = place - (torch.cumsum(counts, 0) - counts)[expert - start]
        kept = within < expert_capacity
        at = (expert * expert_capacity + within)[kept]
        rows[at], went[order[kept]] = x[order[kept] // chosen], at
        return rows.reshape(expert_num, expert_capacity, -1), went.int(), counts
    size = active_num if active_num > 0 else flat.numel()
    kept = order[:size]
    rows = torch.cat([x[kept // chosen], x.new_zeros(size - kept.numel(), x.shape[1])])
    went[order] = torch.arange(inside, device=x.device)
    index = went if row_idx_type == 0 else order
    return rows, index.int(), counts if expert_tokens_num_type == 1 else torch.cumsum(counts, 0)


def moe_compute_expert_tokens(sorted_experts: Tensor, num_expert: int) -> Tensor:
    """Return int32 [num_expert]: how many rows belong to this or an earlier expert."""
    return torch.stack([(sorted_experts <= expert).sum() for expert in range(num_expert)]).int()


def moe_re_routing(tokens: Tensor, per_rank: Tensor, *, per_token_scales: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Put tokens that lie by rank, then expert (`per_rank` counts, [ranks, experts]), by expert, then rank: rows, scales, index, counts."""
    ranks, experts = per_rank.shape
    expert = torch.arange(experts, device=tokens.device).repeat(ranks).repeat_interleave(per_rank.reshape(-1).long())
    order = by_expert(expert)[0]
    return tokens[order], per_token_scales[order], order.int(), per_rank.sum(0).to(per_rank.dtype)


def moe_finalize_routing(
    rows: Tensor,
    skip1: Tensor | None,
    skip2: Tensor | None,
    bias: Tensor | None,
    scales: Tensor,
    index: Tensor,
    experts: Tensor,
    *,
    drop_pad_mode: int,
) -> Tensor:
    """Return for each token `skip1 + skip2 + sum_k scales[token, k] (rows[place] + bias[expert])`.

    The place of a token's k-th row is `index[k * tokens + token]` (`drop_pad_mode` 0 and 1) or `index[token * chosen + k]` (2 and 3);
    with drops (1 and 3) a place of -1 adds no row.
    """
    tokens, chosen = scales.shape
    place = (index.reshape(chosen, tokens).T if drop_pad_mode < 2 else index.reshape(tokens, chosen)).long()
    found = rows.reshape(-1, rows.shape[-1])[place.clamp(min=0)] * (place >= 0)[..., None]
    if bias is not None:
        found = found + bias[experts.long()]
    total = (scales[..., None] * found).sum(1)
    for skip in (skip1, skip2):
        total = total if skip is None else total + skip
    return total
