"""Manifold-constrained hyper-connections: the mappings before and after a layer, and the doubly stochastic residual. Knows no device.

Sources: Xie et al. 2025 (mHC); Sinkhorn and Knopp 1967; pages of npu_mhc_pre, npu_mhc_post and npu_mhc_sinkhorn. n streams of width d.
"""

import torch
from torch import Tensor

from reference.oracles.fused.widening import wide
from reference.oracles.softmax import softmax


def mhc_pre(
    x: Tensor, phi: Tensor, alpha: Tensor, bias: Tensor, *, gamma: Tensor, norm_eps: float, hc_eps: float, out_flag: int = 1
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return layer input [tokens, d], post map [tokens, n], residual map [tokens, n, n], inverse rms, mixed scores, opened gates.

    `m = phi (rms_norm(flat x) gamma)`; `h_pre = sigmoid(alpha_0 m_pre + b) + eps`; `h_post = 2 sigmoid(alpha_1 m_post + b)`;
    `h_res = alpha_2 m_res + b`; the layer's input is the sum of the streams, each times its h_pre.
    """
    n = x.shape[-2]
    flat = wide(x).flatten(-2)
    inverse = 1 / torch.sqrt((flat * flat).mean(-1, keepdim=True) + norm_eps)
    mixed = (flat * inverse * gamma.flatten()) @ phi.T
    pre, post, res = torch.split(mixed, [n, n, n * n], -1)
    opened = 1 / (1 + torch.exp(-(alpha[0] * pre + bias[:n]))) + hc_eps
    posted = 2 / (1 + torch.exp(-(alpha[1] * post + bias[n : 2 * n])))
    residual = torch.unflatten(alpha[2] * res + bias[2 * n :], -1, (n, n))
    return (opened[..., None] * wide(x)).sum(-2).to(x.dtype), posted, residual, inverse.squeeze(-1), mixed, opened


def mhc_post(x: Tensor, h_res: Tensor, h_out: Tensor, h_post: Tensor) -> Tensor:
    """Return the new streams [tokens, n, d]: `sum_i h_res[i, j] x_i + h_post_j h_out`."""
    kept = (h_res[..., None] * wide(x)[..., None, :]).sum(-3)
    return (kept + h_post[..., None] * wide(h_out)[..., None, :]).to(x.dtype)


def mhc_sinkhorn(x: Tensor, *, eps: float, num_iters: int, out_flag: int = 1) -> tuple[Tensor]:
    """Return the matrix [tokens, n, n] after `num_iters` rounds: softmax of rows plus eps, then columns and rows by turns to sum 1."""
    y = softmax(x, -1) + eps
    y = y / (y.sum(-2, keepdim=True) + eps)
    for _ in range(num_iters - 1):
        y = y / (y.sum(-1, keepdim=True) + eps)
        y = y / (y.sum(-2, keepdim=True) + eps)
    return (y,)
