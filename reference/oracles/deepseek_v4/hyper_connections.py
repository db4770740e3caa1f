"""Manifold-constrained hyper-connections: several residual streams, mixed by a doubly stochastic matrix. Knows no layer.

Sources: DeepSeek-V4 technical report, section 2.2; Xie et al. (mHC, arXiv 2512.24880); Sinkhorn and Knopp 1967. n streams of width d. With
A (pre), C (post) and B (comb) made from the streams X themselves, a layer F takes X to B^T X + C (x) F(A X).
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from reference.oracles.deepseek_v4.config import Config
from reference.oracles.softmax import softmax


class Mixing(NamedTuple):
    """What a token's streams are mixed with: `pre` [..., n], `post` [..., n], `comb` [..., n, n], doubly stochastic."""

    pre: Tensor
    post: Tensor
    comb: Tensor


def unweighted_rms_norm(states: Tensor, eps: float) -> Tensor:
    """Return `x / sqrt(mean(x^2) + eps)` over the last dimension."""
    return states * torch.rsqrt((states * states).mean(-1, keepdim=True) + eps)


def sinkhorn(logits: Tensor, iterations: int, eps: float) -> Tensor:
    """Return the doubly stochastic matrix [..., n, n] of `logits`: softmax of each row, then columns and rows divided by their sums.

    Columns come first and last, so that they sum to 1 within eps; rows as nearly as `iterations` bring them.
    """
    matrix = softmax(logits, -1) + eps
    for step in range(iterations):
        if step:
            matrix = matrix / (matrix.sum(-1, keepdim=True) + eps)
        matrix = matrix / (matrix.sum(-2, keepdim=True) + eps)
    return matrix


def mixing(weights: Mapping[str, Tensor], config: Config, streams: Tensor) -> Mixing:
    """Return what mixes `streams` [batch, length, n, d]; `weights` has `fn` [2n + n^2, n d], `base` [2n + n^2] and `scale` [3]."""
    n = config.hc_mult
    projected = functional.linear(unweighted_rms_norm(streams.flatten(-2), config.rms_norm_eps), weights["fn"])
    pre, post, comb = (
        part * scale + base
        for part, scale, base in zip(
            torch.split(projected, [n, n, n * n], -1), weights["scale"].unbind(), torch.split(weights["base"], [n, n, n * n]), strict=True
        )
    )
    return Mixing(
        torch.sigmoid(pre) + config.hc_eps,
        2 * torch.sigmoid(post),
        sinkhorn(torch.unflatten(comb, -1, (n, n)), config.hc_sinkhorn_iters, config.hc_eps),
    )


def collapse(streams: Tensor, pre: Tensor) -> Tensor:
    """Return what a layer takes in, [batch, length, d]: the sum of the streams, each times its `pre`."""
    return (pre[..., None] * streams).sum(-2)


def expand(streams: Tensor, output: Tensor, mixed: Mixing) -> Tensor:
    """Return the streams after a layer: stream k is `sum_j comb[j, k] x_j + post_k output`; the matrix is transposed."""
    return torch.einsum("...jk,...jd->...kd", mixed.comb, streams) + mixed.post[..., None] * output[..., None, :]


def head(fn: Tensor, base: Tensor, scale: Tensor, config: Config, streams: Tensor) -> Tensor:
    """Return the one stream [batch, length, d] that the last norm takes; `fn` [n, n d], `base` [n], `scale` [1]."""
    projected = functional.linear(unweighted_rms_norm(streams.flatten(-2), config.rms_norm_eps), fn)
    return collapse(streams, torch.sigmoid(projected * scale + base) + config.hc_eps)
