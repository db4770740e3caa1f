"""Root-mean-square, layer and group normalisation with what is fused to them. Knows no device.

Sources: Zhang and Sennrich 2019 (RMSNorm); Ba, Kiros and Hinton 2016 (LayerNorm); Wu and He 2018 (GroupNorm); Wang et al. 2022
(DeepNet); torch_npu's pages for the order of operands and results. Statistics are float32.
"""

import math

import torch
from torch import Tensor

from reference.oracles.fused.widening import wide


def rms_norm(x: Tensor, gamma: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return `x / sqrt(mean(x^2) + eps) * gamma` over the dimensions of gamma, and `1 / sqrt(mean(x^2) + eps)`, which keeps them as 1."""
    dims = list(range(-gamma.dim(), 0))
    rstd = 1 / torch.sqrt((wide(x) * wide(x)).mean(dims, keepdim=True) + epsilon)
    return (wide(x) * rstd).to(x.dtype) * gamma, rstd


def gemma_rms_norm(x: Tensor, gamma: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """As `rms_norm`, with `1 + gamma` for gamma."""
    rstd = rms_norm(x, gamma, epsilon)[1]
    return (wide(x) * rstd * (1 + wide(gamma))).to(x.dtype), rstd


def add_rms_norm(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return `rms_norm(x1 + x2)`, its inverse root mean square, and the sum as it was normalised."""
    total = x1 + x2
    return (*rms_norm(total, gamma, epsilon), total)


def add_rms_norm_cast(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `add_rms_norm`, with the result in float32 before the one in the operands' type."""
    total = x1 + x2
    y, rstd = rms_norm(wide(total), wide(gamma), epsilon)
    return y, y.to(x1.dtype), rstd, total


def add_rms_norm_v2(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float) -> Tensor:
    """As `add_rms_norm`, in place: x1 becomes the result, x2 the sum; returns the inverse root mean square."""
    y, rstd, total = add_rms_norm(x1, x2, gamma, epsilon)
    x1.copy_(y)
    x2.copy_(total)
    return rstd


def add_layer_norm(
    x1: Tensor, x2: Tensor, gamma: Tensor, beta: Tensor, epsilon: float, additional_output: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return LayerNorm of `x1 + x2`, mean, `1 / sqrt(var + eps)` and the sum."""
    total = x1 + x2
    return (*_layer_norm(total, gamma, beta, epsilon), total)


def deep_norm(x: Tensor, gx: Tensor, beta: Tensor, gamma: Tensor, alpha: float, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, `1 / sqrt(var + eps)` and LayerNorm of `alpha x + gx`."""
    y, mean, rstd = _layer_norm(wide(x) * alpha + wide(gx), wide(gamma), wide(beta), epsilon)
    return mean, rstd, y.to(x.dtype)


def _layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    dims = list(range(-gamma.dim(), 0))
    mean = wide(x).mean(dims, keepdim=True)
    centred = wide(x) - mean
    rstd = 1 / torch.sqrt((centred * centred).mean(dims, keepdim=True) + epsilon)
    return (centred * rstd).to(x.dtype) * gamma + beta, mean, rstd


def group_norm_silu(x: Tensor, gamma: Tensor, beta: Tensor, groups: int, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return `SiLU(GroupNorm(x))` of [batch, channels, ...], mean and `1 / sqrt(var + eps)` [batch, groups], all in the type of x."""
    normal, mean, rstd = _group_norm(x, groups, gamma, beta, epsilon)
    return (normal / (1 + torch.exp(-normal))).to(x.dtype), mean.to(x.dtype), rstd.to(x.dtype)


def group_norm_swish(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, *, eps: float, swish_scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `n sigmoid(swish_scale n)` of `n = GroupNorm(x)`, mean and `1 / sqrt(var + eps)` [batch, groups].

    The statistics have the type of x, and the operator's backward reads them: they are rounded before they are used.
    """
    normal, mean, rstd = _group_norm(x, num_groups, weight, bias, eps, rounded=True)
    return (normal / (1 + torch.exp(-swish_scale * normal))).to(x.dtype), mean.to(x.dtype), rstd.to(x.dtype)


def _group_norm(
    x: Tensor, groups: int, gamma: Tensor, beta: Tensor, epsilon: float, rounded: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    batch, channels = x.shape[:2]
    rows = wide(x).reshape(batch, groups, math.prod(x.shape[1:]) // groups)
    mean = rows.mean(-1, keepdim=True)
    rstd = 1 / torch.sqrt(((rows - mean) * (rows - mean)).mean(-1, keepdim=True) + epsilon)
    if rounded:
        mean, rstd = wide(mean.to(x.dtype)), wide(rstd.to(x.dtype))
    shape = (channels, *[1] * (x.dim() - 2))
    normal = ((rows - mean) * rstd).reshape(x.shape) * wide(gamma).reshape(shape) + wide(beta).reshape(shape)
    return normal, mean.squeeze(-1), rstd.squeeze(-1)
