"""Matrix product and linear layer as sums over the shared index. Knows no dtype, device or fused kernel.

Source: BLAS level 3 (Dongarra et al., 1990) for the product; `y = x A^T + b` for the layer, as torch.nn.Linear documents it.
"""

import torch
from torch import Tensor


def matmul(left: Tensor, right: Tensor) -> Tensor:
    """Return `out[..., i, j] = sum_k left[..., i, k] right[..., k, j]`: [..., m, k] by [..., k, n] gives [..., m, n]."""
    return torch.einsum("...ik,...kj->...ij", left, right)


def linear(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return `out[..., o] = sum_i states[..., i] weight[o, i] + bias[o]`: [..., in], [out, in], [out] give [..., out]."""
    return torch.einsum("...i,oi->...o", states, weight) + bias
