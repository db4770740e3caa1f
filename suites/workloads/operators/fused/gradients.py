"""Run an operator with several results forward, then backward through some of them, and name what comes out. Knows no operator."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def with_gradients(
    function: Callable[..., Mapping[str, Tensor]], operands: Mapping[str, Tensor], cotangents: Mapping[str, Tensor]
) -> Callable[[], dict[str, Tensor]]:
    """Return a call that gives what `function(**operands)` names and `grad_<operand>` for every operand.

    The gradients are those of the sum over `cotangents` (by name of output, of its shape and dtype) times that output. Every call
    starts from leaves of its own.
    """

    def call() -> dict[str, Tensor]:
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in operands.items()}
        outputs = function(**leaves)
        through = [outputs[name] for name in cotangents]
        gradients = torch.autograd.grad(through, tuple(leaves.values()), list(cotangents.values()))
        named = {f"grad_{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
        return {name: output.detach() for name, output in outputs.items()} | named

    return call
