"""Run an operator forward, then backward with a drawn cotangent, and name what comes out. Knows no operator."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def differentiate(function: Callable[..., Tensor], operands: Mapping[str, Tensor], cotangent: Tensor) -> Callable[[], dict[str, Tensor]]:
    """Return a call that gives `out` and, for every operand, `grad_<name>`: the product of `cotangent` with the Jacobian.

    `function` is called as function(**operands); all operands are floating, and `cotangent` has the shape and dtype of its
    result. Every call starts from leaves of its own, so it leaves the operands alone and may be repeated.
    """

    def call() -> dict[str, Tensor]:
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in operands.items()}
        out = function(**leaves)
        gradients = torch.autograd.grad(out, tuple(leaves.values()), cotangent)
        named = {f"grad_{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
        return {"out": out.detach(), **named}

    return call
