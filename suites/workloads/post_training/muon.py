"""DeepSeek-V4's Muon as an optimizer: matrices orthogonalised, all else by AdamW. Knows parameters by name, and no model.

arXiv 2606.19348, algorithm 1 and the paragraph on hyperparameters. torch.optim.Muon differs: it takes no stacks of experts, has one
triple of coefficients for five iterations, and always iterates in bfloat16; here the iteration has the parameter's dtype.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_COEFFICIENTS = ((3.4445, -4.7750, 2.0315),) * 8 + ((2.0, -1.5, 0.5),) * 2
_MOMENTUM, _DECAY, _FACTOR = 0.95, 0.1, 0.18
_BETAS, _EPS = (0.9, 0.95), 1e-20
_LEAST_NORM = 1e-20

#: What is two-dimensional and no matrix that maps one stream to another: tables of vectors, the head, and biases by position.
_NO_MATRIX = re.compile(r"embed|lm_head|position_bias")


def orthogonalise(x: Tensor) -> Tensor:
    """Return U V^T of x [..., rows, columns], nearly: ten Newton-Schulz iterations in the dtype of x; zeros stay zeros."""
    tall = x.shape[-2] > x.shape[-1]
    y: Tensor = x.mT if tall else x
    y = y / torch.linalg.vector_norm(y, dim=(-2, -1), keepdim=True).clamp_min(_LEAST_NORM)
    for a, b, c in _COEFFICIENTS:
        gram = y @ y.mT
        y = a * y + (b * gram + c * (gram @ gram)) @ y
    return y.mT if tall else y


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Tell whether Muon steps a parameter: a matrix or a stack of them (experts), and neither a table, the head nor a bias."""
    return parameter.ndim >= 2 and not _NO_MATRIX.search(name)


class Muon(Optimizer):
    """Steps matrices [..., rows, columns] as algorithm 1 says, each of a stack by itself, and what else there is as AdamW does."""

    def __init__(self, matrices: Sequence[Tensor], others: Sequence[Tensor], lr: float) -> None:
        groups = [{"params": list(found), "kind": kind} for kind, found in (("muon", matrices), ("adamw", others)) if found]
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # PyTorch's closures are not needed
        """Take one step; a parameter without a gradient stays as it is. Raises ValueError for a closure."""
        if closure is not None:
            raise ValueError("this Muon takes no closure")
        for group in self.param_groups:
            stepping = _step_matrix if group["kind"] == "muon" else _step_other
            for parameter in group["params"]:
                if parameter.grad is not None:
                    stepping(parameter, parameter.grad, self.state[parameter], group["lr"])


def _step_matrix(parameter: Tensor, gradient: Tensor, state: dict[str, Any], lr: float) -> None:
    momentum = state.setdefault("momentum", torch.zeros_like(parameter))
    momentum.mul_(_MOMENTUM).add_(gradient)
    size = _FACTOR * max(parameter.shape[-2:]) ** 0.5
    parameter.mul_(1 - lr * _DECAY).add_(orthogonalise(_MOMENTUM * momentum + gradient), alpha=-lr * size)


def _step_other(parameter: Tensor, gradient: Tensor, state: dict[str, Any], lr: float) -> None:
    if not state:
        state.update(step=torch.zeros(()), exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
    state["step"] += 1
    step = float(state["step"])
    state["exp_avg"].lerp_(gradient, 1 - _BETAS[0])
    state["exp_avg_sq"].mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
    spread = (state["exp_avg_sq"] / (1 - _BETAS[1] ** step)).sqrt_().add_(_EPS)
    parameter.mul_(1 - lr * _DECAY).addcdiv_(state["exp_avg"], spread, value=-lr / (1 - _BETAS[0] ** step))


def muon(trained: Mapping[str, nn.Parameter], lr: float) -> Optimizer:
    """Return the optimizer over parameters by name."""
    matrices = [parameter for name, parameter in trained.items() if is_matrix(name, parameter)]
    return Muon(matrices, [parameter for name, parameter in trained.items() if not is_matrix(name, parameter)], lr)
