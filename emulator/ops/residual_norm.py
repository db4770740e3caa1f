"""Layer normalization fused with the residual addition before it: AddLayerNorm and DeepNorm, and their backwards. Knows no other norm.

Definitions: CANN's pages aclnnAddLayerNorm, aclnnAddLayerNormGrad, aclnnDeepNorm and aclnnDeepNormGrad (ops-nn), computed in float32.
"""

import torch
from torch import Tensor

from emulator.operator import Out, aclnn


def _layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, mean and rstd, the last two with 1 for each dimension of gamma."""
    inner = list(range(-gamma.dim(), 0))
    mean = x.mean(dim=inner, keepdim=True)
    centered = x - mean
    rstd = torch.rsqrt(centered.square().mean(dim=inner, keepdim=True) + epsilon)
    return centered * rstd * gamma.float() + beta.float(), mean, rstd


def _layer_norm_backward(dy: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, gamma and beta."""
    inner = list(range(-gamma.dim(), 0))
    normed, scaled = (x - mean) * rstd, dy * gamma.float()
    shift = scaled.mean(dim=inner, keepdim=True) + normed * (scaled * normed).mean(dim=inner, keepdim=True)
    flat = (-1, *gamma.shape)
    return (scaled - shift) * rstd, (dy * normed).reshape(flat).sum(0), dy.reshape(flat).sum(0)


def _statistic(given: Tensor, x: Tensor, gamma: Tensor) -> Tensor:
    """A mean or rstd in the shape that broadcasts: torch_npu keeps one trailing 1 however many dimensions gamma has."""
    return given.reshape(*x.shape[: x.dim() - gamma.dim()], *[1] * gamma.dim())


@aclnn
def AddLayerNorm(
    x1: Tensor,
    x2: Tensor,
    gamma: Tensor,
    beta: Tensor,
    bias: Tensor | None,
    epsilon: float,
    additional_output: bool,
    y: Out,
    mean: Out,
    rstd: Out,
    x: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Layer norm of x1 + x2 + bias; x is that sum and, without additional_output, zero. Statistics are float32, over gamma's dimensions."""
    added = x1.float() + x2.float()
    if bias is not None:
        added = added + bias.float()
    value, center, scale = _layer_norm(added, gamma, beta, epsilon)
    return value, center.reshape(mean.shape), scale.reshape(rstd.shape), added if additional_output else torch.zeros_like(added)


@aclnn
def AddLayerNormGrad(
    dy: Tensor,
    x1: Tensor,
    x2: Tensor,
    rstd: Tensor,
    mean: Tensor,
    gamma: Tensor,
    dsum: Tensor | None,
    dx: Out,
    dgamma: Out,
    dbeta: Out,
) -> tuple[Tensor, Tensor, Tensor]:
    """dx is the gradient of x1 and of x2, with that of the sum (dsum) added; dgamma and dbeta are float32."""
    added = x1.float() + x2.float()
    gradient, gamma_gradient, beta_gradient = _layer_norm_backward(
        dy.float(), added, gamma, _statistic(mean, added, gamma), _statistic(rstd, added, gamma)
    )
    return gradient if dsum is None else gradient + dsum.float(), gamma_gradient, beta_gradient


@aclnn
def DeepNorm(
    x: Tensor, gx: Tensor, beta: Tensor, gamma: Tensor, alpha: float, epsilon: float, mean: Out, rstd: Out, y: Out
) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm of alpha * x + gx."""
    value, center, scale = _layer_norm(alpha * x.float() + gx.float(), gamma, beta, epsilon)
    return center, scale, value


@aclnn
def DeepNormGrad(
    dy: Tensor,
    x: Tensor,
    gx: Tensor,
    gamma: Tensor,
    mean: Tensor,
    rstd: Tensor,
    alpha: float,
    dx: Out,
    dgx: Out,
    dbeta: Out,
    dgamma: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dx = alpha * dgx; dgamma and dbeta are float32."""
    gradient, gamma_gradient, beta_gradient = _layer_norm_backward(dy.float(), alpha * x.float() + gx.float(), gamma, mean, rstd)
    return alpha * gradient, gradient, beta_gradient, gamma_gradient
