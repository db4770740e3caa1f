"""Attention as torch_npu's fused operators promise it: layouts, masks that say what is discarded, sparse modes, biases, statistics.

Knows no device, block or online softmax. Sources: Vaswani et al. 2017, eq. 1; Ainslie et al. 2023 (grouped heads); Xiao et al. 2024
(sinks); npu_fusion_attention's and npu_fused_infer_attention_score's pages for layouts, `sparse_mode` and the polarity of the mask.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reference.oracles.fused.widening import wide

FAR = 2147483647  # the operators' default of pre_tokens and next_tokens: no limit


class Attended(NamedTuple):
    """The result [batch, heads, queries, width] and, of the scaled scores, maximum and sum of exponentials [batch, heads, queries]."""

    out: Tensor
    top: Tensor
    total: Tensor


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    discard: Tensor | None = None,
    bias: Tensor | None = None,
    sink: Tensor | None = None,
) -> Attended:
    """Return `softmax(scale query key^T + bias) value` of [batch, heads, length, width] operands.

    Query head h reads key head `h // (heads / kv_heads)`. `discard` (bool, true where a key is not seen) and `bias` broadcast to
    [batch, heads, queries, keys]. `sink` [heads] is a score that takes its share and has no value. A query that sees nothing gives
    zeros. The softmax is in float32 and its result is rounded to the operands' type, as eager attention in PyTorch does.
    """
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scores = wide(torch.einsum("bhqw,bhkw->bhqk", query, key)) * scale
    if bias is not None:
        scores = scores + wide(bias)
    if discard is not None:
        scores = scores.masked_fill(discard, -math.inf)
    if sink is not None:
        scores = torch.cat([scores, wide(sink).reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)], -1)
    top = scores.detach().amax(-1, keepdim=True)
    exponentials = torch.exp(scores - torch.where(torch.isinf(top), 0.0, top))
    total = exponentials.sum(-1, keepdim=True)
    weights = exponentials / torch.where(total == 0, 1.0, total)
    out = torch.einsum("bhqk,bhkw->bhqw", weights[..., : key.shape[2]].to(value.dtype), value)
    return Attended(out, top.squeeze(-1), total.squeeze(-1))


def discarded(queries: int, keys: int, sparse_mode: int, atten_mask: Tensor | None, before: int = FAR, after: int = FAR) -> Tensor | None:
    """Return what is discarded of [queries, keys]; without a mask nothing is, whatever the mode.

    Modes 0 (within `before` and `after` of the diagonal) and 1 take the mask as it is; 2 is causal from the first key, 3 causal to
    the last, 4 a band about the diagonal to the last.
    """
    if atten_mask is None:
        return None
    place = torch.arange(keys, device=atten_mask.device) - torch.arange(queries, device=atten_mask.device)[:, None]
    if sparse_mode == 0:
        return atten_mask.bool() | (place > after) | (place < -before)
    if sparse_mode == 1:
        return atten_mask.bool()
    if sparse_mode == 2:
        return place > 0
    last = place - (keys - queries)
    if sparse_mode == 3:
        return last > 0
    if sparse_mode == 4:
        return (last > after) | (last < -before)
    raise ValueError(f"sparse_mode {sparse_mode}: this oracle knows 0 to 4")


def by_heads(x: Tensor, layout: str, heads: int) -> Tensor:
    """Return [batch, heads, length, width] of BNSD, BSND [B, S, N, D], BSH [B, S, N D] or SBH [S, B, N D]; else raise ValueError."""
    if layout == "BNSD":
        return x
    if layout == "BSND":
        return x.transpose(1, 2)
    if layout == "BSH":
        return torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)
    if layout == "SBH":
        return torch.unflatten(x, -1, (heads, -1)).permute(1, 2, 0, 3)
    raise ValueError(f"layout {layout!r}: this oracle knows BNSD, BSND, BSH and SBH")


def in_layout(x: Tensor, layout: str) -> Tensor:
    """Undo `by_heads`: [batch, heads, length, width] in another layout; NBSD is known too."""
    if layout == "BNSD":
        return x
    if layout == "BSND":
        return x.transpose(1, 2)
    if layout == "BSH":
        return x.transpose(1, 2).flatten(2)
    if layout == "NBSD":
        return x.transpose(0, 1)
    return x.permute(2, 0, 1, 3).flatten(2)


def sequences(x: Tensor, ends: list[int]) -> list[Tensor]:
    """Cut TND [tokens, heads, width] into sequences [1, heads, length, width] at their cumulative ends."""
    sizes = [end - begin for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [part.transpose(0, 1)[None] for part in torch.split(x, sizes)]


def joined(parts: list[Tensor]) -> Tensor:
    """Undo `sequences`: [1, heads, length, ...] one after the other as [tokens, heads, ...]."""
    return torch.cat([part[0].transpose(0, 1) for part in parts])


def fusion_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_num: int,
    input_layout: str,
    *,
    pse: Tensor | None = None,
    atten_mask: Tensor | None = None,
    scale: float,
    pre_tockens: int = FAR,
    next_tockens: int = FAR,
    inner_precise: int = 0,
    actual_seq_qlen: list[int] | None = None,
    actual_seq_kvlen: list[int] | None = None,
    sparse_mode: int = 0,
    sink: Tensor | None = None,
    softmax_layout: str = "TND",
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the result in the layout of the query, maximum and sum [batch, heads, queries, 8] ([tokens, heads, 8] for TND), each repeated.

    In TND the sequences end at the cumulative `actual_seq_qlen` and `actual_seq_kvlen`, and each has its own diagonal. `inner_precise`
    is how rows that see nothing are treated; this oracle gives zeros, which is what the operator gives for 2. Of TND, `softmax_layout`
    is how the operator lays the statistics out; this oracle knows TND only.
    """
    if input_layout == "TND":
        assert actual_seq_qlen is not None
        assert actual_seq_kvlen is not None
        parts = zip(sequences(query, actual_seq_qlen), sequences(key, actual_seq_kvlen), sequences(value, actual_seq_kvlen), strict=True)
        found = []
        for q, k, v in parts:
            mask = discarded(q.shape[2], k.shape[2], sparse_mode, atten_mask, pre_tockens, next_tockens)
            found.append(attend(q, k, v, scale, mask, None, sink))
        out, top, total = (joined(list(one)) for one in zip(*found, strict=True))
        return out, _eightfold(top), _eightfold(total)
    width = by_heads(query, input_layout, head_num).shape[-1]
    kv_heads = key.shape[1] if input_layout == "BNSD" else key.shape[2] if input_layout == "BSND" else key.shape[-1] // width
    q, k, v = (by_heads(x, input_layout, n) for x, n in ((query, head_num), (key, kv_heads), (value, kv_heads)))
    mask = discarded(q.shape[2], k.shape[2], sparse_mode, atten_mask, pre_tockens, next_tockens)
    attended = attend(q, k, v, scale, mask, pse if pse is None else pse * scale, sink)
    return in_layout(attended.out, input_layout), _eightfold(attended.top), _eightfold(attended.total)


def _eightfold(statistic: Tensor) -> Tensor:
    return statistic[..., None].expand(*statistic.shape, 8)
