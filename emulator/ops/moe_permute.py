"""Permutations of tokens by expert as training uses them, and their gradients, by indices or by a map of routes. Knows no gate.

Definitions: documentation of CANN (aclnnMoeTokenPermute, ...Unpermute, ...WithRoutingMap and the gradients). n tokens with k experts each
make n * k rows, which lie by expert; sorted_indices says for row k of a token where it lies (-1: nowhere). Sums are in float32.
"""

import torch
from torch import Tensor

from emulator.operator import Ints, Out, aclnn


def _refuse_padded(padded: bool) -> None:
    if padded:
        raise NotImplementedError("padded_mode is documented as not supported")


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Return rows in float32; a row that is not there (-1, or beyond the end) is 0."""
    there = (index >= 0) & (index < len(tensor))
    if not len(tensor):
        return torch.zeros((*index.shape, tensor.shape[-1]))
    return tensor.float()[torch.where(there, index, 0)].masked_fill(~there.unsqueeze(-1), 0.0)


def _put(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Put rows where they belong among `count`; those that belong nowhere are dropped, and a row that gets none is 0."""
    there = (index >= 0) & (index < count)
    result = torch.zeros((count, *values.shape[1:]))
    result[index[there]] = values.float()[there]
    return result


@aclnn
def MoeTokenPermute(
    tokens: Tensor, indices: Tensor, num_out_tokens: int, padded_mode: bool, permuted: Out, sorted_indices: Out
) -> tuple[Tensor, Tensor]:
    """tokens [n, h], indices [n, k] or [n] -> the first num_out_tokens rows by expert, and where each row lies [n * k]."""
    _refuse_padded(padded_mode)
    order = torch.argsort(indices.reshape(-1), stable=True)
    k = indices.shape[1] if indices.dim() > 1 else 1
    return tokens[order[: len(permuted)] // k], torch.argsort(order)


@aclnn
def MoeTokenPermuteGrad(grad: Tensor, sorted_indices: Tensor, k: int, padded_mode: bool, out: Out) -> Tensor:
    """The gradient of a token is the sum of those of its rows."""
    _refuse_padded(padded_mode)
    return _rows(grad, sorted_indices.long().view(-1, k)).sum(1)


@aclnn
def MoeTokenUnpermute(
    permuted: Tensor, sorted_indices: Tensor, probs: Tensor | None, padded_mode: bool, restore_shape: Ints | None, out: Out
) -> Tensor:
    """permuted [rows, h], probs [n, k] -> [n, h]: the sum of a token's rows, each times its weight. Without weights k is 1."""
    _refuse_padded(padded_mode)
    rows = _rows(permuted, sorted_indices.long().view(len(out), -1))
    return (rows if probs is None else rows * probs.float().view(len(out), -1, 1)).sum(1)


@aclnn
def MoeTokenUnpermuteGrad(
    permuted: Tensor | None, grad: Tensor, sorted_indices: Tensor, probs: Tensor | None, padded_mode: bool, restore_shape: Ints | None,
    grad_permuted: Out, grad_probs: Out | None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """The gradients of the rows and of the weights."""
    _refuse_padded(padded_mode)
    index = sorted_indices.long()
    repeated = grad.float().unsqueeze(1).expand(-1, len(index) // max(len(grad), 1), -1)
    weighed = repeated if probs is None else repeated * probs.float().unsqueeze(-1)
    rows = _put(weighed.reshape(len(index), -1), index, len(grad_permuted))
    if grad_probs is None or probs is None or permuted is None:
        return rows, None if grad_probs is None else torch.zeros_like(grad_probs)
    return rows, (repeated * _rows(permuted, index.view(len(grad), -1))).sum(-1)


def _routes(routing_map: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return for the map's rows by expert: their tokens, and their places among the n * k rows by token."""
    tokens = routing_map.bool().t().nonzero()[:, 1]
    order = torch.argsort(tokens, stable=True)
    first = torch.searchsorted(tokens[order], tokens[order])
    slot = torch.empty_like(tokens)
    slot[order] = torch.arange(len(tokens)) - first
    if bool((slot >= k).any()):
        raise ValueError(f"a token has more than {k} experts, and num_out_tokens allows no more")
    return tokens, tokens * k + slot


def _capacity_order(routing_map: Tensor, capacity: int) -> Tensor:
    """Return the tokens of each expert: its first ones on the map, and then others up to its capacity."""
    return torch.argsort(routing_map.to(torch.int8).t(), dim=-1, descending=True, stable=True)[:, :capacity].reshape(-1)


def _by_expert(probs: Tensor, tokens: Tensor) -> Tensor:
    """Return each expert's weights for the tokens that it has: tokens [experts * capacity]."""
    return probs.t().gather(1, tokens.view(probs.shape[1], -1)).reshape(-1)


def _on_map(values: Tensor, routing_map: Tensor) -> Tensor:
    """Put values that lie by expert on the map's places [n, experts]."""
    routes = routing_map.bool().t()
    return torch.zeros(routes.shape).masked_scatter(routes, values.float()[: int(routes.sum())]).t()


@aclnn
def MoeTokenPermuteWithRoutingMap(
    tokens: Tensor, routing_map: Tensor, probs: Tensor | None, num_out_tokens: int, drop_and_pad: bool,
    permuted: Out, permuted_probs: Out | None, sorted_indices: Out,
) -> tuple[Tensor, Tensor | None, Tensor]:  # fmt: skip
    """tokens [n, h], routing_map and probs [n, experts] -> rows and weights by expert, and where a token's rows lie.

    drop_and_pad: every expert has num_out_tokens / experts rows, and sorted_indices are the tokens of these.
    """
    n, experts = routing_map.shape
    if drop_and_pad:
        chosen = _capacity_order(routing_map, num_out_tokens // experts)
        return tokens[chosen], None if probs is None else _by_expert(probs, chosen), chosen
    k = num_out_tokens // n
    chosen, places = _routes(routing_map, k)
    index = torch.full((n * k,), -1)
    index[places] = torch.arange(len(chosen))
    rows = torch.arange(len(chosen))
    weights = None if probs is None else _put(probs.t().masked_select(routing_map.bool().t()), rows, n * k)
    return _put(tokens[chosen], rows, n * k), weights, index


@aclnn
def MoeTokenPermuteWithRoutingMapGrad(
    grad: Tensor, grad_permuted_probs: Tensor | None, sorted_indices: Tensor, routing_map: Tensor, experts: int, n: int, drop_and_pad: bool,
    grad_tokens: Out, grad_probs: Out | None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """The gradients of tokens and weights."""
    index = sorted_indices.long()
    added = torch.zeros(grad_tokens.shape).index_add_(0, index, grad.float()) if drop_and_pad else _rows(grad, index.view(n, -1)).sum(1)
    if grad_probs is None or grad_permuted_probs is None:
        return added, None if grad_probs is None else torch.zeros_like(grad_probs)
    if not drop_and_pad:
        return added, _on_map(grad_permuted_probs, routing_map)
    weights = torch.zeros((experts, n)).scatter_(1, index.view(experts, -1), grad_permuted_probs.float().view(experts, -1))
    return added, weights.t()


@aclnn
def MoeTokenUnpermuteWithRoutingMap(
    permuted: Tensor, sorted_indices: Tensor, routing_map: Tensor | None, probs: Tensor | None, drop_and_pad: bool, restore_shape: Ints,
    out: Out, out_index: Out, token_id: Out, permuted_probs: Out | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """The inverse of MoeTokenPermuteWithRoutingMap: rows are weighed and added up for their tokens."""
    n, index = restore_shape[0], sorted_indices.long()
    weights = None
    if drop_and_pad:
        if probs is not None:
            weights = _by_expert(probs, index)
        weighed = permuted.float() if weights is None else permuted.float() * weights.float().unsqueeze(-1)
        tokens, order = index.sort(stable=True)
        return torch.zeros(out.shape).index_add_(0, index, weighed), order, tokens, weights
    if probs is not None and routing_map is not None:
        given = probs.t().masked_select(routing_map.bool().t())
        weights = _put(given, torch.arange(len(given)), len(index))
    weighed = permuted.float() if weights is None else permuted.float() * weights[: len(permuted)].unsqueeze(-1)
    k = len(index) // max(n, 1)
    return _rows(weighed, index.view(n, k)).sum(1), index, torch.arange(n).repeat_interleave(k), weights


@aclnn
def MoeTokenUnpermuteWithRoutingMapGrad(
    grad: Tensor, out_index: Tensor, token_id: Tensor, routing_map: Tensor | None, permuted: Tensor | None, probs: Tensor | None,
    drop_and_pad: bool, restore_shape: Ints | None, grad_permuted: Out, grad_probs: Out | None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """The gradients of rows and weights. Without drop_and_pad torch_npu passes sorted_indices twice, and the token of place i is i // k."""
    index = out_index.long()
    tokens = token_id.long() if drop_and_pad else torch.arange(len(grad)).repeat_interleave(len(index) // max(len(grad), 1))
    rows = _put(grad[tokens], index, len(grad_permuted))
    if probs is None or permuted is None or routing_map is None:
        return rows, None if grad_probs is None else torch.zeros_like(grad_probs)
    products = (rows * permuted.float()).sum(-1)
    if not drop_and_pad:
        weights = probs.t().masked_select(routing_map.bool().t())
        return rows * _put(weights, torch.arange(len(weights)), len(rows)).unsqueeze(-1), _on_map(products, routing_map)
    chosen = torch.empty_like(tokens)
    chosen[index] = tokens
    experts = probs.shape[1]
    on_map = torch.zeros((experts, len(grad))).scatter_(1, chosen.view(experts, -1), products.view(experts, -1))
    return rows * _by_expert(probs, chosen).float().unsqueeze(-1), on_map.t()
