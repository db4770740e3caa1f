"""Older operators of torch_npu: views made whole, casts, a linear layer, gradients that PyTorch derives otherwise. Knows no device.

Sources: pages of npu_linear, npu_fused_matmul, npu_slice, npu_indexing, npu_stride_copy, npu_attn_softmax_; the derivative of
torch.nn.functional.binary_cross_entropy_with_logits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reference.oracles.fused.activations import gelu
from reference.oracles.softmax import softmax


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return `x weight^T + bias`."""
    return x @ weight.T + bias


def fused_matmul(x1: Tensor, x2: Tensor, *, bias: Tensor | None, x3: Tensor | None, fused_op_type: str) -> Tensor:
    """Return `x1 x2 + bias` and what follows it: relu, add x3, mul x3, gelu_erf, gelu_tanh, or nothing."""
    product = x1 @ x2
    product = product if bias is None else product + bias
    if fused_op_type == "add":
        assert x3 is not None
        return product + x3
    if fused_op_type == "mul":
        assert x3 is not None
        return product * x3
    if fused_op_type.startswith("gelu"):
        return gelu(product, approximate="tanh" if fused_op_type.endswith("tanh") else "none")
    return torch.relu(product) if fused_op_type == "relu" else product


def cut_out(x: Tensor, offsets: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """Return the block of x that begins at `offsets`."""
    return x[tuple(slice(begin, begin + size) for begin, size in zip(offsets, sizes, strict=True))].clone()


def strided(x: Tensor, begin: Sequence[int], end: Sequence[int], steps: Sequence[int]) -> Tensor:
    """Return `x[begin[0]:end[0]:steps[0], ...]`."""
    return x[tuple(slice(*one) for one in zip(begin, end, steps, strict=True))].clone()


def stride_copy(x: Tensor, shape: Sequence[int], stride: Sequence[int], offset: int) -> Tensor:
    """Return what torch.as_strided sees of the contiguous x, in memory of its own."""
    place = torch.full(tuple(shape), offset, device=x.device)
    for dim, (size, step) in enumerate(zip(shape, stride, strict=True)):
        place = place + (torch.arange(size, device=x.device) * step).reshape(-1, *[1] * (len(shape) - dim - 1))
    return x.reshape(-1)[place]


def attn_softmax(x: Tensor) -> Tensor:
    """Become the softmax of the last dimension, in place."""
    return x.copy_(softmax(x, -1))


def attn_softmax_backward(y: Tensor, grad: Tensor, values: Tensor) -> Tensor:
    """Become `y (g - sum(g y))`, `g = grad values^T`, in place of y: the gradient of the scores in `softmax(scores) values`."""
    through = grad @ values.mT
    return y.copy_(y * (through - (through * y).sum(-1, keepdim=True)))


def binary_cross_entropy_backward(grad: Tensor, x: Tensor, target: Tensor) -> Tensor:
    """Return the gradient of the mean of `-t log s - (1 - t) log(1 - s)`, `s = sigmoid(x)`: `grad (s - t) / count`."""
    return grad * (1 / (1 + torch.exp(-x)) - target) / x.numel()
