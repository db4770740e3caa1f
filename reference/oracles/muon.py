"""Muon as DeepSeek-V4 has it, on one matrix or a stack of them. Knows no dtype, device, batching of ranks or schedule.

Sources: DeepSeek-V4, arXiv 2606.19348, algorithm 1; Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), for
the Newton-Schulz iteration. A step takes the momentum M' = mu M + G, orthogonalises mu M' + G (Nesterov), and moves the weight by the
learning rate times that, times 0.18 sqrt(max(rows, columns)), which gives it the root mean square of an AdamW update.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

#: Coefficients (a, b, c) of X' = a X + b (X X^T) X + c (X X^T)^2 X: eight fast iterations, then two that settle at 1.
HYBRID = ((3.4445, -4.7750, 2.0315),) * 8 + ((2.0, -1.5, 0.5),) * 2
_LEAST_NORM = 1e-20


class MuonState(NamedTuple):
    """A parameter and its momentum, of one shape."""

    param: Tensor
    momentum: Tensor


def newton_schulz(x: Tensor, coefficients: Sequence[tuple[float, float, float]] = HYBRID) -> Tensor:
    """Return the iteration's result for x [..., rows, columns], from x over its Frobenius norm; a matrix of zeros stays one."""
    y: Tensor = x / x.square().sum((-2, -1), keepdim=True).sqrt().clamp_min(_LEAST_NORM)
    for a, b, c in coefficients:
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y


def by_singular_values(x: Tensor, coefficients: Sequence[tuple[float, float, float]] = HYBRID) -> Tensor:
    """Return the same another way: each singular value s, over the root of the sum of their squares, through p(s) = a s + b s^3 + c s^5."""
    left, values, right = torch.linalg.svd(x, full_matrices=False)
    values = values / values.square().sum(-1, keepdim=True).sqrt().clamp_min(_LEAST_NORM)
    for a, b, c in coefficients:
        values = a * values + b * values**3 + c * values**5
    made: Tensor = (left * values[..., None, :]) @ right
    return made


def orthogonalised(x: Tensor) -> Tensor:
    """Return what the iteration tends to for x of full rank: U V^T of the singular value decomposition, the nearest matrix of that kind."""
    left, _, right = torch.linalg.svd(x, full_matrices=False)
    made: Tensor = left @ right
    return made


def muon(
    param: Tensor, gradients: Sequence[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.1, factor: float = 0.18
) -> MuonState:
    """Return the state after one step for each of `gradients`, from a momentum of zero; nothing given is changed."""
    kept = torch.zeros_like(param)
    size = factor * max(param.shape[-2:]) ** 0.5
    for gradient in gradients:
        kept = momentum * kept + gradient
        param = param * (1 - lr * weight_decay) - lr * size * newton_schulz(momentum * kept + gradient)
    return MuonState(param, kept)
