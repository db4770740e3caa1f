"""A function and its gradients as one result, so that `agree` compares both. Knows no operator."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def with_gradients(function: Callable[..., Tensor]) -> Callable[..., list[Any]]:
    """Return what gives the function's result and the gradients of its floating-point arguments, for the same upstream everywhere."""

    def run(*arguments: Tensor) -> list[Any]:
        leaves = [one.detach().requires_grad_(one.is_floating_point()) for one in arguments]
        result = function(*leaves)
        upstream = torch.linspace(-1, 1, result.numel()).reshape(result.shape) if result.dim() else torch.ones(())
        result.backward(upstream.to(result))
        return [result.detach(), *[leaf.grad for leaf in leaves if leaf.requires_grad]]

    return run
