"""The lightning indexer: which keys a query of DeepSeek's sparse attention looks at, and its gradient. Knows no attention.

Definitions: documentation of torch_npu (npu_lightning_indexer, npu_quant_lightning_indexer) and of CANN (aclnnLightningIndexerGrad).
score of a key = sum over the query's heads of weight * relu(query @ key), in float32; among equal scores the first key wins.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from emulator.operator import Out, aclnn
from emulator.ops.sparse_sequences import Pair, pairs, within

_NONE = -1


def head_scores(query: Tensor, key: Tensor) -> Tensor:
    """query [rows, heads, width] @ key [keys, width] -> relu of it, [rows, heads, keys], in float32."""
    return torch.relu(query.float() @ key.float().t())


def _best(scores: Tensor, seen: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the best keys of each row, -1 where it may see no more, and their scores."""
    hidden = torch.arange(scores.shape[-1]) >= seen.unsqueeze(-1)
    values, order = torch.sort(scores.masked_fill(hidden, float("-inf")), dim=-1, descending=True, stable=True)
    values, order = values[:, :count], order[:, :count]
    return order.masked_fill(order >= seen.unsqueeze(-1), _NONE), values


def _indexed(
    query: Tensor, key: Tensor, weights: Tensor, found: list[Pair], count: int, shape: torch.Size, scales: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """query [..., heads, width], key [..., key heads, width], weights [..., heads]; scales of each head's query and of each key."""
    indices = torch.full(shape, _NONE, dtype=torch.int32)
    values = torch.full(shape, float("-inf"))
    heads = key.shape[-2]
    group = query.shape[-2] // heads
    for pair in found:
        keys = pair.of_keys(key)
        for rows in pair.pieces(query.shape[-2] * pair.length):
            place, seen = within(pair.queries, rows), pair.seen(rows)
            for head in range(heads):
                part = slice(head * group, (head + 1) * group)
                if scales is None:
                    scores = head_scores(query[place][:, part], keys[:, head])
                else:
                    products = query[place][:, part].float() @ keys[:, head].float().t()
                    factors = scales[0][place][:, part, None].float() * pair.of_keys(scales[1])[:, head].float()
                    scores = torch.relu(products * factors)
                total = (scores * weights[place][:, part].float().unsqueeze(-1)).sum(1)
                order, best = _best(total, seen, count)
                indices[place][:, head, : order.shape[1]] = order.int()
                values[place][:, head, : order.shape[1]] = best
    return indices, values


@aclnn
def LightningIndexer(
    query: Tensor, key: Tensor, weights: Tensor, query_lengths: Tensor | None, key_lengths: Tensor | None, block_table: Tensor | None,
    query_layout: str, key_layout: str, sparse_count: int, sparse_mode: int, pre_tokens: int, next_tokens: int, return_value: bool,
    indices: Out, values: Out,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The best keys of each query [..., key heads, sparse_count], best first, and their scores (-inf for none) if asked for."""
    found = pairs(query, key, (query_layout, key_layout), query_lengths, key_lengths, block_table, sparse_mode)
    chosen, scores = _indexed(query, key, weights, found, sparse_count, indices.shape, None)
    return chosen, scores if return_value else values


@aclnn
def QuantLightningIndexer(
    query: Tensor, key: Tensor, weights: Tensor, query_scale: Tensor, key_scale: Tensor, query_lengths: Tensor | None,
    key_lengths: Tensor | None, block_table: Tensor | None, query_quant_mode: int, key_quant_mode: int, query_layout: str, key_layout: str,
    sparse_count: int, sparse_mode: int, pre_tokens: int, next_tokens: int, indices: Out,
) -> Tensor:  # fmt: skip
    """As LightningIndexer for int8 (or float8), products of which are times query_scale [..., heads] and key_scale [..., 1]."""
    if query_quant_mode or key_quant_mode:
        raise ValueError("documented is quantisation by token and head (mode 0) only")
    if query.dtype == torch.uint8:
        raise NotImplementedError("hifloat8 is not emulated")
    found = pairs(query, key, (query_layout, key_layout), query_lengths, key_lengths, block_table, sparse_mode)
    return _indexed(query, key, weights, found, sparse_count, indices.shape, (query_scale, key_scale))[0]


def chosen(pair: Pair, indices: Tensor, width: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield pieces of a sequence's queries with the keys chosen for them [rows, count], and which of these are any."""
    table = indices[pair.queries]
    for rows in pair.pieces(width):
        picked = table[rows].long()
        there = (picked >= 0) & (picked < pair.seen(rows).unsqueeze(-1))
        yield rows, picked.clamp(0, max(pair.length - 1, 0)), there


def scattered(total: Tensor, index: Tensor, values: Tensor) -> None:
    """Add values [rows, count, width] to the rows of total that index [rows, count] names."""
    total.index_add_(0, index.flatten(), values.flatten(0, 1))


@aclnn
def LightningIndexerGrad(
    query: Tensor, key: Tensor, grad: Tensor, indices: Tensor, weights: Tensor, query_lengths: Tensor | None, key_lengths: Tensor | None,
    head_num: int, layout: str, sparse_mode: int, pre_tokens: int, next_tokens: int, deterministic: bool,
    grad_query: Out, grad_key: Out, grad_weights: Out,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of the scores that were returned, grad [..., 1, sparse_count], for query, key and weights."""
    if key.shape[-2] != 1:
        raise ValueError("documented is one head of keys only")
    found = pairs(query, key, (layout, layout), query_lengths, key_lengths, None, sparse_mode)
    results = [torch.zeros(tensor.shape) for tensor in (query, key, weights)]
    for pair in found:
        keys = pair.of_keys(key)[:, 0].float()
        grad_keys = torch.zeros_like(keys)
        for rows, picked, there in chosen(
            pair, indices[..., 0, :], query.shape[-2] * indices.shape[-1] + indices.shape[-1] * key.shape[-1]
        ):
            place = within(pair.queries, rows)
            dy = grad[place][:, 0].float().masked_fill(~there, 0.0).unsqueeze(1)
            rows_query, gathered = query[place].float(), keys[picked]
            scores = torch.relu(rows_query @ gathered.mT)
            inner = dy * weights[place].float().unsqueeze(-1) * (scores > 0)
            results[0][place] = inner @ gathered
            results[2][place] = (scores * dy).sum(-1)
            scattered(grad_keys, picked, inner.mT @ rows_query)
        results[1][pair.keys][:, 0] = grad_keys
    return results[0], results[1], results[2]
