"""Adam with decoupled weight decay, on one parameter. Knows no dtype, device, fused kernel or schedule.

Source: Loshchilov and Hutter 2019, algorithm 2. Decay is scaled by the learning rate and epsilon is added after the bias
correction, as torch.optim.AdamW documents it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class AdamWState(NamedTuple):
    """A parameter and its two moments, all of one shape."""

    param: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor


def adamw(param: Tensor, gradients: Sequence[Tensor], lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> AdamWState:
    """Return the state after one step for each of `gradients`, from moments of zero; nothing given is changed."""
    first, second = torch.zeros_like(param), torch.zeros_like(param)
    for step, gradient in enumerate(gradients, start=1):
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient * gradient
        mean, spread = first / (1 - betas[0] ** step), second / (1 - betas[1] ** step)
        param = param - lr * weight_decay * param - lr * mean / (torch.sqrt(spread) + eps)
    return AdamWState(param, first, second)
