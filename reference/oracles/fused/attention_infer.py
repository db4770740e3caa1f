"""Attention for inference as torch_npu's operators promise it: valid lengths, pages, the log of the sum. Knows no device.

Sources: the pages of npu_fused_infer_attention_score (versions 1 and 2), npu_prompt_flash_attention, npu_incre_flash_attention,
npu_attention_update and npu_ring_attention_update; Kwon et al. 2023 (pages); Liu et al. 2023 (ring attention).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reference.oracles.fused.attention import FAR, attend, by_heads, discarded, in_layout, joined, sequences
from reference.oracles.fused.widening import wide


def gathered(pages: Tensor, block_table: Tensor, heads: int, lengths: Sequence[int]) -> Tensor:
    """Return [batch, heads, longest, width] of pages [count, size, heads * width]; `block_table[b, i]` has the i-th `size` tokens."""
    rows = pages[block_table.long()].flatten(1, 2)[:, : max(lengths)]
    return torch.unflatten(rows, -1, (heads, -1)).transpose(1, 2)


def beyond(q_lengths: Sequence[int], kv_lengths: Sequence[int], queries: int, keys: int, device: torch.device) -> Tensor:
    """Return [batch, 1, queries, keys]: true where the query or the key lies behind its sequence's valid length."""
    row, column = torch.arange(queries, device=device)[:, None], torch.arange(keys, device=device)
    return torch.stack([(row >= a) | (column >= b) for a, b in zip(q_lengths, kv_lengths, strict=True)])[:, None]


def fused_infer_attention_score(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    pse_shift: Tensor | None = None,
    atten_mask: Tensor | None = None,
    actual_seq_lengths: Sequence[int] | None = None,
    actual_seq_lengths_kv: Sequence[int] | None = None,
    block_table: Tensor | None = None,
    num_heads: int,
    num_key_value_heads: int,
    scale: float,
    input_layout: str,
    sparse_mode: int = 0,
    pre_tokens: int = FAR,
    next_tokens: int = FAR,
    block_size: int = 0,
    inner_precise: int = 0,
    softmax_lse_flag: bool = False,
    sink: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the result and the log-sum-exp of the scaled scores [batch, heads, queries, 1] (TND: [tokens, heads, 1]).

    `input_layout` is that of query and result, or both with an underscore between; TND takes cumulative lengths. The diagonal of the
    modes 3 and 4 ends at the last valid key. With a `block_table`, key and value are pages.
    """
    first, _, second = input_layout.partition("_")
    if first == "TND":
        assert actual_seq_lengths is not None
        assert actual_seq_lengths_kv is not None
        each = [
            sequences(x, list(ends))
            for x, ends in zip((query, key, value), (actual_seq_lengths, *[actual_seq_lengths_kv] * 2), strict=True)
        ]
        outs: list[Tensor] = []
        sums: list[Tensor] = []
        for q, k, v in zip(*each, strict=True):
            found = attend(q, k, v, scale, discarded(q.shape[2], k.shape[2], sparse_mode, atten_mask, pre_tokens, next_tokens), None, sink)
            outs.append(found.out)
            sums.append((found.top + torch.log(found.total))[..., None])
        return joined(outs), joined(sums)
    q = by_heads(query, first, num_heads)
    kv_heads = num_key_value_heads or num_heads
    if block_table is not None:
        assert actual_seq_lengths_kv is not None
        k, v = (gathered(x, block_table, kv_heads, actual_seq_lengths_kv) for x in (key, value))
    else:
        k, v = (by_heads(x, first, kv_heads) for x in (key, value))
    hidden = _hidden(q, k, actual_seq_lengths, actual_seq_lengths_kv, sparse_mode, atten_mask, pre_tokens, next_tokens)
    attended = attend(q, k, v, scale, hidden, pse_shift, sink)
    return in_layout(attended.out, second or first), (attended.top + torch.log(attended.total))[..., None]


def _hidden(
    query: Tensor,
    key: Tensor,
    q_lengths: Sequence[int] | None,
    kv_lengths: Sequence[int] | None,
    sparse_mode: int,
    atten_mask: Tensor | None,
    before: int,
    after: int,
) -> Tensor | None:
    """What is discarded for each sequence [batch, 1, queries, keys]; None: nothing."""
    (batch, _, queries, _), keys = query.shape, key.shape[2]
    if atten_mask is None and q_lengths is None and kv_lengths is None:
        return None
    ours, theirs = q_lengths or [queries] * batch, kv_lengths or [keys] * batch
    hidden = beyond(ours, theirs, queries, keys, query.device)
    if atten_mask is None:
        return hidden
    if queries == 1:
        return hidden | atten_mask.bool().reshape(-1, 1, 1, keys)
    if sparse_mode < 2:
        mask = discarded(queries, keys, sparse_mode, atten_mask, before, after)
        assert mask is not None
        return hidden | mask
    for b, (a, n) in enumerate(zip(ours, theirs, strict=True)):
        mask = discarded(a, n, sparse_mode, atten_mask, before, after)
        assert mask is not None
        hidden[b, 0, :a, :n] |= mask
    return hidden


def fused_infer_attention_score_v2(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    query_rope: Tensor,
    key_rope: Tensor,
    learnable_sink: Tensor | None = None,
    num_query_heads: int,
    num_key_value_heads: int,
    softmax_scale: float,
    input_layout: str,
    return_softmax_lse: bool = True,
) -> tuple[Tensor, Tensor]:
    """As version 1 in BNSD; the rotary parts are further columns of query and key, a sink takes its share of the softmax."""
    return fused_infer_attention_score(
        torch.cat([query, query_rope], -1),
        torch.cat([key, key_rope], -1),
        value,
        num_heads=num_query_heads,
        num_key_value_heads=num_key_value_heads,
        scale=softmax_scale,
        input_layout=input_layout,
        sink=learnable_sink,
    )


def prompt_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    atten_mask: Tensor | None = None,
    pse_shift: Tensor | None = None,
    actual_seq_lengths: Sequence[int] | None = None,
    actual_seq_lengths_kv: Sequence[int] | None = None,
    num_heads: int,
    num_key_value_heads: int,
    scale_value: float,
    input_layout: str,
    sparse_mode: int = 0,
    pre_tokens: int = FAR,
    next_tokens: int = 0,
) -> Tensor:
    """Return the result of `fused_infer_attention_score`."""
    return fused_infer_attention_score(
        query,
        key,
        value,
        pse_shift=pse_shift,
        atten_mask=atten_mask,
        actual_seq_lengths=actual_seq_lengths,
        actual_seq_lengths_kv=actual_seq_lengths_kv,
        num_heads=num_heads,
        num_key_value_heads=num_key_value_heads,
        scale=scale_value,
        input_layout=input_layout,
        sparse_mode=sparse_mode,
        pre_tokens=pre_tokens,
        next_tokens=next_tokens,
    )[0]


def incre_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    atten_mask: Tensor | None = None,
    pse_shift: Tensor | None = None,
    actual_seq_lengths: Sequence[int] | None = None,
    block_table: Tensor | None = None,
    num_heads: int,
    num_key_value_heads: int,
    scale_value: float,
    input_layout: str,
    block_size: int = 0,
) -> Tensor:
    """Return the result for the one query of each sequence; `actual_seq_lengths` are those of the keys."""
    return fused_infer_attention_score(
        query,
        key,
        value,
        pse_shift=pse_shift,
        atten_mask=atten_mask,
        actual_seq_lengths_kv=actual_seq_lengths,
        block_table=block_table,
        num_heads=num_heads,
        num_key_value_heads=num_key_value_heads,
        scale=scale_value,
        input_layout=input_layout,
    )[0]


def attention_update(lse: Sequence[Tensor], outs: Sequence[Tensor], update_type: int) -> tuple[Tensor, Tensor]:
    """Merge attentions over parts of the keys: [tokens, width] each, with log-sum-exps [tokens]; `update_type` 1 returns the merged one."""
    stacked = torch.stack([wide(one) for one in lse])
    merged = torch.logsumexp(stacked, 0)
    weighed = [torch.exp(one - merged)[:, None] * wide(out) for one, out in zip(stacked, outs, strict=True)]
    return torch.stack(weighed).sum(0).to(outs[0].dtype), merged


def ring_attention_update(
    old: Tensor, old_top: Tensor, old_total: Tensor, new: Tensor, new_top: Tensor, new_total: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Merge two attentions [S, B, N D] with maxima and sums [B, N, S, 8]: result, maximum, sum."""
    top = torch.maximum(old_top, new_top)
    mine, theirs = torch.exp(old_top - top) * old_total, torch.exp(new_top - top) * new_total
    total = mine + theirs
    shares = [(part / total)[..., 0].permute(2, 0, 1)[..., None] for part in (mine, theirs)]
    heads = top.shape[1]
    parts = [share * torch.unflatten(wide(x), -1, (heads, -1)) for share, x in zip(shares, (old, new), strict=True)]
    return (parts[0] + parts[1]).flatten(-2).to(old.dtype), top, total
