"""How the lightning indexer is trained: its scores are to follow the attention's. Knows no device.

Sources: DeepSeek-V3.2 technical report, eq. 3 and 4 (KL divergence from the attention summed over heads, L1-normalised); pages of
npu_dense_lightning_indexer_softmax_lse, npu_dense_lightning_indexer_grad_kl_loss and npu_sparse_lightning_indexer_grad_kl_loss.
One sequence at a time in BSND, queries and keys of one length, causal; one key head.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reference.oracles.fused.sparse_attention import index_scores
from reference.oracles.fused.widening import wide
from reference.oracles.softmax import log_sum_exp, softmax


class Indexed(NamedTuple):
    """The indexer's operands, which are trained: query [B, S, H, W], key [B, S, 1, W], weights [B, S, H]."""

    query: Tensor
    key: Tensor
    weights: Tensor


def masked_index_scores(index: Indexed, seen: Tensor) -> Tensor:
    """Return the indexer's scores [B, S, S], -inf where a query does not look; `seen` [B, S, S]."""
    scores = torch.stack([index_scores(q, k[:, 0], w) for q, k, w in zip(*index, strict=True)])
    return scores.masked_fill(~seen, -math.inf)


def causal(length: int, batch: int, device: torch.device) -> Tensor:
    """Return [B, S, S]: query i sees keys 0 to i."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril().expand(batch, -1, -1)


def at(indices: Tensor, length: int) -> Tensor:
    """Return [B, S, S]: true at the keys that `indices` [B, S, 1, count] names; -1 names none."""
    seen = torch.zeros(*indices.shape[:2], length + 1, dtype=torch.bool, device=indices.device)
    return seen.scatter(2, indices[:, :, 0].long() % (length + 1), True)[..., :length]


def dense_softmax_lse(query: Tensor, key: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return maximum and sum of exponentials of the causal scores, [B, 1, S] in float32."""
    scores = masked_index_scores(Indexed(query, key, weights), causal(query.shape[1], query.shape[0], query.device))
    top = scores.amax(-1)
    return top[:, None], torch.exp(scores - top[..., None]).sum(-1)[:, None]


def attention_scores(query: Tensor, key: Tensor, query_rope: Tensor, key_rope: Tensor, scale: float, seen: Tensor) -> Tensor:
    """Return the scaled scores of the attention [B, H, S, S], -inf where a query does not look."""
    scores = torch.einsum("bqhd,bkd->bhqk", wide(query), wide(key)[:, :, 0]) + torch.einsum(
        "bqhd,bkd->bhqk", wide(query_rope), wide(key_rope)[:, :, 0]
    )
    return (scores * scale).masked_fill(~seen[:, None], -math.inf)


def statistics(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return maximum and sum of exponentials of attention scores, [B, 1, S, H]: what the attention's forward kept."""
    top = scores.amax(-1)
    total = torch.exp(scores - top[..., None]).sum(-1)
    return top.transpose(1, 2)[:, None], total.transpose(1, 2)[:, None]


def kl_loss(index: Indexed, scores: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of query, key and weights and the loss [1]: `sum p (log p - log softmax(index scores))` over what is seen.

    p is the attention's softmax summed over heads, divided by its sum.
    """
    target = softmax(scores, -1).sum(1)
    target = (target / target.sum(-1, keepdim=True)).detach()
    leaves = Indexed(*(one.detach().requires_grad_() for one in index))
    found = masked_index_scores(leaves, seen)
    log_prob = torch.where(seen, found - log_sum_exp(found, -1)[..., None], 0.0)
    terms = torch.where(seen, target * (torch.log(target.clamp(min=1e-8)) - log_prob), 0.0)
    query, key, weights = torch.autograd.grad(terms.sum(), tuple(leaves))
    return query, key, weights, terms.sum().detach().reshape(1)
