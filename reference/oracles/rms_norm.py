"""Root-mean-square normalisation. Knows no dtype, device or fused kernel. Source: Zhang and Sennrich 2019, eq. 4."""

from collections.abc import Sequence

import torch
from torch import Tensor


def rms_norm(states: Tensor, normalized_shape: Sequence[int], weight: Tensor, eps: float) -> Tensor:
    """Return `x / sqrt(mean(x^2) + eps) * weight`, the mean over the last dimension only: [..., width] by [width].

    Raises ValueError when `normalized_shape` is not the shape of `weight`.
    """
    if tuple(normalized_shape) != tuple(weight.shape) or weight.dim() != 1:
        raise ValueError(f"normalized_shape {tuple(normalized_shape)} must be the one dimension of the weight {tuple(weight.shape)}")
    return states * torch.rsqrt((states * states).mean(-1, keepdim=True) + eps) * weight
