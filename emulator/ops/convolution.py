"""Convolutions, transposed and depthwise too, their backwards, and the rearrangements behind them. Knows no quantized weight."""

from typing import Any

import torch
from torch import Tensor

from emulator.behaviour import cube
from emulator.operator import Bools, Int8, Ints, Out, aclnn, plain

aten = torch.ops.aten

plain("Im2col", "tIIIIo", aten.im2col.default)
plain("Im2colBackward", "tIIIIIo", aten.col2im.default)


def _padded(self: Tensor, padding: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """Return the tensor and what is left to pad: CANN also takes both ends of every dimension, (top, bottom, left, right)."""
    dimensions = self.dim() - 2
    if len(padding) != 2 * dimensions:
        return self, padding
    ends = [end for at in reversed(range(dimensions)) for end in padding[2 * at : 2 * at + 2]]
    return torch.nn.functional.pad(self, ends), (0,) * dimensions


@aclnn
def Convolution(
    self: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    transposed: bool,
    output_padding: Ints,
    groups: int,
    out: Out,
    cube_math: Int8,
) -> Any:
    padded, left = (self, padding) if transposed else _padded(self, padding)
    return aten.convolution.default(*cube(cube_math, padded, weight), bias, stride, left, dilation, transposed, output_padding, groups)


@aclnn
def ConvolutionBackward(
    grad: Tensor,
    self: Tensor,
    weight: Tensor,
    bias_sizes: Ints | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    transposed: bool,
    output_padding: Ints,
    groups: int,
    mask: Bools,
    cube_math: Int8,
    grad_self: Out | None,
    grad_weight: Out | None,
    grad_bias: Out | None,
) -> tuple[Tensor | None, ...]:
    operands = cube(cube_math, grad, self, weight)
    geometry = (stride, padding, dilation, transposed, output_padding, groups)
    results = aten.convolution_backward.default(*operands, bias_sizes, *geometry, list(mask))
    # torch_npu allocates what the mask does not ask for, and drops it
    given = (grad_self, grad_weight, grad_bias)
    return tuple(out if result is None else result for out, result in zip(given, results, strict=True))


@aclnn
def ConvDepthwise2d(
    self: Tensor,
    weight: Tensor,
    kernel: Ints,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    out: Out,
    cube_math: Int8,
) -> Any:
    groups = self.shape[-3]
    return aten.convolution.default(*cube(cube_math, self, weight), bias, stride, padding, dilation, False, (0, 0), groups)


@aclnn
def ConvTbc(self: Tensor, weight: Tensor, bias: Tensor, pad: int, out: Out, cube_math: Int8) -> Any:
    return aten.conv_tbc.default(*cube(cube_math, self, weight), bias, pad)


@aclnn
def ConvTbcBackward(
    grad: Tensor,
    self: Tensor,
    weight: Tensor,
    bias: Tensor,
    pad: int,
    cube_math: Int8,
    grad_self: Out,
    grad_weight: Out,
    grad_bias: Out,
) -> Any:
    return aten.conv_tbc_backward.default(*cube(cube_math, grad, self, weight), bias, pad)


def _delayed(self: Tensor, steps: int) -> Tensor:
    """Return [S, B, H] later by `steps` (earlier where negative), zeros shifted in."""
    moved = torch.zeros_like(self)
    if abs(steps) < len(self):
        moved[max(steps, 0) : len(self) + min(steps, 0)] = self[max(-steps, 0) : len(self) - max(steps, 0)]
    return moved


@aclnn
def MaskedCausalConv1d(self: Tensor, weight: Tensor, mask: Tensor | None, out: Out) -> Tensor:
    """self [S, B, H], weight [W, H]: sum of weight[k] self[s - (W - 1 - k)], in float32; zero where bool mask [B, S] is false.

    Source: torch_npu-npu_masked_causal_conv1d.md.
    """
    wide, last = self.float(), len(weight) - 1
    result = torch.stack([row * _delayed(wide, last - k) for k, row in enumerate(weight.float())]).sum(0)
    return result if mask is None else result * mask.T[:, :, None]


@aclnn
def MaskedCausalConv1dBackward(
    grad: Tensor, self: Tensor, weight: Tensor, mask: Tensor | None, grad_self: Out, grad_weight: Out
) -> tuple[Tensor, Tensor]:
    """The derivatives of MaskedCausalConv1d, in float32. Source: torch_npu-npu_masked_causal_conv1d.md."""
    wide, last = self.float(), len(weight) - 1
    inner = grad.float() if mask is None else grad.float() * mask.T[:, :, None]
    by_self = torch.stack([row * _delayed(inner, k - last) for k, row in enumerate(weight.float())]).sum(0)
    return by_self, torch.stack([(inner * _delayed(wide, last - k)).sum((0, 1)) for k in range(last + 1)])
