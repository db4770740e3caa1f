"""Lightning indexer and attention to the keys that it chose, query by query. Knows no device, page or block.

Sources: DeepSeek-V3.2 technical report (DeepSeek sparse attention); pages of npu_lightning_indexer, npu_quant_lightning_indexer and
npu_sparse_flash_attention. Sequences are one after the other (TND) with cumulative ends; one key head.
"""

import math

import torch
from torch import Tensor

from reference.oracles.fused.products import split_rows
from reference.oracles.fused.widening import wide


def index_scores(query: Tensor, key: Tensor, weights: Tensor) -> Tensor:
    """Return `sum_h weights[q, h] relu(query[q, h] . key[k])` [queries, keys] of one sequence, in float32."""
    return (torch.relu(torch.einsum("qhd,kd->qhk", wide(query), wide(key))) * wide(weights)[..., None]).sum(1)


def lightning_indexer(
    query: Tensor, key: Tensor, weights: Tensor, ends: Tensor, key_ends: Tensor, count: int, causal: bool
) -> tuple[Tensor, Tensor]:
    """Return for each query [tokens, heads, width] the `count` best keys it may see, best first (int32, -1 beyond), and their scores.

    `causal`: the last query of a sequence sees all its keys, each one before one fewer. Indices are within the sequence.
    """
    indices, values = [], []
    parts = zip(split_rows(query, ends), split_rows(key, key_ends), split_rows(weights, ends), strict=True)
    for q, k, w in parts:
        scores = index_scores(q, k[:, 0], w)
        if causal:
            scores = scores.masked_fill(~visible(q.shape[0], k.shape[0], q.device), -math.inf)
        order = torch.sort(scores.detach(), dim=-1, descending=True, stable=True).indices[:, :count]
        found = scores.gather(-1, order)
        missing = count - order.shape[1]
        order = torch.where(torch.isneginf(found), -1, order)
        indices.append(torch.nn.functional.pad(order, (0, missing), value=-1))
        values.append(torch.nn.functional.pad(found, (0, missing), value=-math.inf))
    return torch.cat(indices)[:, None].int(), torch.cat(values)[:, None]


def visible(queries: int, keys: int, device: torch.device) -> Tensor:
    """Return [queries, keys]: true where a query sees a key; the last sees all."""
    return torch.arange(keys, device=device) <= torch.arange(queries, device=device)[:, None] + keys - queries


def sparse_flash_attention(
    query: Tensor, key: Tensor, indices: Tensor, scale: float, query_rope: Tensor, key_rope: Tensor, ends: Tensor, key_ends: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each query `softmax(scale [query, query_rope] . [key, key_rope]) key` over the keys at `indices` (-1: none) that it sees.

    Also maximum and sum of the scaled scores, [1, tokens, heads] in float32. Values are the keys without their rotary part.
    """
    outs, tops, totals = [], [], []
    parts = zip(
        *(split_rows(x, e) for x, e in ((query, ends), (query_rope, ends), (indices, ends), (key, key_ends), (key_rope, key_ends))),
        strict=True,
    )
    for q, q_rope, chosen, k, k_rope in parts:
        scores = torch.einsum("qhd,kd->qhk", q, k[:, 0]) + torch.einsum("qhd,kd->qhk", q_rope, k_rope[:, 0])
        taken = torch.zeros(q.shape[0], k.shape[0] + 1, dtype=torch.bool, device=q.device)
        taken.scatter_(1, chosen[:, 0].long() % (k.shape[0] + 1), True)  # -1 falls into the column behind the last
        seen = taken[:, :-1] & visible(q.shape[0], k.shape[0], q.device)
        scores = (wide(scores) * scale).masked_fill(~seen[:, None], -math.inf)
        top = scores.detach().amax(-1, keepdim=True)
        exponentials = torch.exp(scores - top)
        total = exponentials.sum(-1, keepdim=True)
        outs.append(torch.einsum("qhk,kd->qhd", (exponentials / total).to(k.dtype), k[:, 0]))
        tops.append(top.squeeze(-1))
        totals.append(total.squeeze(-1))
    return torch.cat(outs), torch.cat(tops)[None], torch.cat(totals)[None]
