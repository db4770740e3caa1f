"""The loss that trains DeepSeek's lightning indexer, and its gradients: how far its softmax is from what the attention looked at.

Definitions: documentation of torch_npu (npu_sparse_lightning_indexer_grad_kl_loss, npu_dense_lightning_indexer_grad_kl_loss,
npu_dense_lightning_indexer_softmax_lse) and of CANN. loss = sum over the queries of KL(p || softmax(I)): p is the attention's softmax,
added up over its heads and brought to a sum of 1, I the indexer's scores. Logarithms are of 1e-8 at least. Computed in float32.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from emulator.operator import Ints, Out, aclnn
from emulator.ops.lightning_indexer import chosen, head_scores, scattered
from emulator.ops.sparse_sequences import Pair, pairs, within

_FLOOR = 1e-8


def _statistics(tensor: Tensor, place: Any) -> Tensor:
    """Return the rows of [batch, key heads, length, ...] or [key heads, all lengths, ...], whose key head is one."""
    found = tensor[place[0], :, place[1]] if isinstance(place, tuple) else tensor[:, place]
    return found[0].float()


def _joined(tensor: Tensor, rope: Tensor | None) -> Tensor:
    return tensor if rope is None else torch.cat([tensor, rope], -1)


def _target(query: Tensor, key: Tensor, there: Tensor, top: Tensor, total: Tensor, scale: float, sinks: bool) -> Tensor:
    """What the attention looked at: query [rows, heads, width], key [rows, keys, width] or [keys, width], statistics [rows, heads]."""
    scores = (query.float() @ key.float().mT * scale).masked_fill(~there.unsqueeze(1), float("-inf"))
    looked = (torch.exp(scores - top.unsqueeze(-1)) / torch.where(total == 0, 1.0, total).unsqueeze(-1)).sum(1)
    return looked / looked.sum(-1, keepdim=True).clamp_min(_FLOOR) if sinks else looked / query.shape[1]


def _divergence(target: Tensor, found: Tensor) -> Tensor:
    return (target * (target.clamp_min(_FLOOR).log() - found.clamp_min(_FLOOR).log())).sum()


def _softmax(scores: Tensor, there: Tensor) -> Tensor:
    return torch.softmax(scores.masked_fill(~there, float("-inf")), -1).nan_to_num(0.0)


def _sparse(
    query: Tensor, key: Tensor, query_index: Tensor, key_index: Tensor, weights: Tensor, indices: Tensor, top: Tensor, total: Tensor,
    ropes: tuple[Tensor | None, Tensor | None], lengths: tuple[Sequence[int] | None, Sequence[int] | None], sinks: bool, scale: float,
    layout: str, mode: int,
) -> list[Tensor]:  # fmt: skip
    left, right = _joined(query, ropes[0]), _joined(key, ropes[1])
    results = [torch.zeros(tensor.shape) for tensor in (query_index, key_index, weights)]
    loss = torch.zeros(1)
    for pair in pairs(query, key, (layout, layout), *lengths, None, mode):
        keys, indexed = pair.of_keys(right)[:, 0].float(), pair.of_keys(key_index)[:, 0].float()
        grad_keys = torch.zeros_like(indexed)
        for rows, picked, there in chosen(pair, indices[..., 0, :], indices.shape[-1] * (query.shape[-2] + left.shape[-1])):
            place = within(pair.queries, rows)
            target = _target(left[place], keys[picked], there, _statistics(top, place), _statistics(total, place), scale, sinks)
            gathered, factors = indexed[picked], weights[place].float()
            scores = torch.relu(query_index[place].float() @ gathered.mT)
            found = _softmax((scores * factors.unsqueeze(-1)).sum(1), there)
            loss += _divergence(target, found)
            slope = (found - target).unsqueeze(1)
            inner = slope * factors.unsqueeze(-1) * (scores > 0)
            results[0][place], results[2][place] = inner @ gathered, (slope * scores).sum(-1)
            scattered(grad_keys, picked, inner.mT @ query_index[place].float())
        results[1][pair.keys][:, 0] = grad_keys
    return [*results, loss]


@aclnn
def SparseLightningIndexerGradKLLoss(
    query: Tensor, key: Tensor, query_index: Tensor, key_index: Tensor, weights: Tensor, indices: Tensor, softmax_max: Tensor,
    softmax_sum: Tensor, query_rope: Tensor | None, key_rope: Tensor | None, query_lengths: Ints | None, key_lengths: Ints | None,
    scale: float, layout: str, sparse_mode: int, pre_tokens: int, next_tokens: int, deterministic: bool,
    grad_query_index: Out, grad_key_index: Out, grad_weights: Out, loss: Out,
) -> list[Tensor]:  # fmt: skip
    """The loss over the keys that indices [..., 1, count] name, and its gradients; statistics are those of the attention to these keys."""
    return _sparse(
        query, key, query_index, key_index, weights, indices, softmax_max, softmax_sum, (query_rope, key_rope),
        (query_lengths, key_lengths), False, scale, layout, sparse_mode,
    )  # fmt: skip


@aclnn
def SparseLightningIndexerGradKLLossV2(
    query: Tensor, key: Tensor, query_index: Tensor, key_index: Tensor, weights: Tensor, indices: Tensor, softmax_max: Tensor,
    softmax_sum: Tensor, query_rope: Tensor | None, key_rope: Tensor | None, query_lengths: Ints | None, key_lengths: Ints | None,
    sinks: Tensor | None, scale: float, layout: str, sparse_mode: int, pre_tokens: int, next_tokens: int, deterministic: bool,
    grad_query_index: Out, grad_key_index: Out, grad_weights: Out, loss: Out,
) -> list[Tensor]:  # fmt: skip
    """As SparseLightningIndexerGradKLLoss of an attention with sinks: what they took is given back to the keys."""
    return _sparse(
        query, key, query_index, key_index, weights, indices, softmax_max, softmax_sum, (query_rope, key_rope),
        (query_lengths, key_lengths), sinks is not None, scale, layout, sparse_mode,
    )  # fmt: skip


def _seen(pair: Pair, rows: slice) -> Tensor:
    return torch.arange(pair.length) < pair.seen(rows).unsqueeze(-1)


@aclnn
def DenseLightningIndexerSoftmaxLse(
    query_index: Tensor, key_index: Tensor, weights: Tensor, query_lengths: Ints | None, key_lengths: Ints | None, layout: str,
    sparse_mode: int, pre_tokens: int, next_tokens: int, softmax_max: Out, softmax_sum: Out,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The maximum of the indexer's scores over all keys, and the sum of exp(score - maximum): [batch, 1, length] or [1, all lengths]."""
    top, total = torch.zeros(softmax_max.shape), torch.zeros(softmax_sum.shape)
    for pair in pairs(query_index, key_index, (layout, layout), query_lengths, key_lengths, None, sparse_mode):
        keys = pair.of_keys(key_index)[:, 0]
        for rows in pair.pieces(query_index.shape[-2] * pair.length):
            place = within(pair.queries, rows)
            scores = (head_scores(query_index[place], keys) * weights[place].float().unsqueeze(-1)).sum(1)
            masked = scores.masked_fill(~_seen(pair, rows), float("-inf"))
            largest = masked.amax(-1)
            largest = torch.where(torch.isinf(largest), 0.0, largest)
            where = (place[0], 0, place[1]) if isinstance(place, tuple) else (0, place)
            top[where], total[where] = largest, torch.exp(masked - largest.unsqueeze(-1)).sum(-1)
    return top, total


@aclnn
def DenseLightningIndexerGradKLLoss(
    query: Tensor, key: Tensor, query_index: Tensor, key_index: Tensor, weights: Tensor, softmax_max: Tensor, softmax_sum: Tensor,
    index_max: Tensor, index_sum: Tensor, query_rope: Tensor | None, key_rope: Tensor | None, query_lengths: Ints | None,
    key_lengths: Ints | None, scale: float, layout: str, sparse_mode: int, pre_tokens: int, next_tokens: int,
    grad_query_index: Out, grad_key_index: Out, grad_weights: Out, loss: Out,
) -> list[Tensor]:  # fmt: skip
    """The loss over all keys that a query sees, and its gradients; index_max and index_sum are of DenseLightningIndexerSoftmaxLse."""
    left, right = _joined(query, query_rope), _joined(key, key_rope)
    results = [torch.zeros(tensor.shape) for tensor in (query_index, key_index, weights)]
    total = torch.zeros(1)
    for pair in pairs(query, key, (layout, layout), query_lengths, key_lengths, None, sparse_mode):
        keys, indexed = pair.of_keys(right)[:, 0], pair.of_keys(key_index)[:, 0].float()
        for rows in pair.pieces((query.shape[-2] + query_index.shape[-2]) * pair.length):
            place, there = within(pair.queries, rows), _seen(pair, rows)
            target = _target(left[place], keys, there, _statistics(softmax_max, place), _statistics(softmax_sum, place), scale, False)
            factors = weights[place].float().unsqueeze(-1)
            scores = head_scores(query_index[place], indexed)
            summed = _statistics(index_sum, place).unsqueeze(-1)
            found = torch.exp((scores * factors).sum(1) - _statistics(index_max, place).unsqueeze(-1)) / torch.where(
                summed == 0, 1.0, summed
            )
            found = found.masked_fill(~there, 0.0)
            total += _divergence(target, found)
            slope = (found - target).unsqueeze(1)
            inner = slope * factors * (scores > 0)
            results[0][place], results[2][place] = inner @ indexed, (slope * scores).sum(-1)
            results[1][pair.keys][:, 0] += torch.einsum("rhk,rhw->kw", inner, query_index[place].float())
    return [*results, total]
