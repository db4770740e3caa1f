"""Average and maximum pooling, adaptive too, and their backwards. Knows no convolution."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from emulator import behaviour
from emulator.operator import Int8, Ints, Out, aclnn, plain
from emulator.widening import widened

aten = torch.ops.aten

plain("AdaptiveAvgPool2d", "tIo", aten._adaptive_avg_pool2d.default)
plain("AdaptiveAvgPool2dBackward", "tto", aten._adaptive_avg_pool2d_backward.default)
plain("AdaptiveAvgPool3d", "tIo", aten._adaptive_avg_pool3d.default)
plain("AdaptiveAvgPool3dBackward", "tto", aten._adaptive_avg_pool3d_backward.default)
plain("AdaptiveMaxPool2d", "tIoo", aten.adaptive_max_pool2d.default)
plain("AdaptiveMaxPool3d", "tIoo", aten.adaptive_max_pool3d.default)
plain("MaxPool2dWithIndices", "tIIIIboo", aten.max_pool2d_with_indices.default)
plain("MaxPool3dWithArgmax", "tIIIIboo", aten.max_pool3d_with_indices.default)


def _unpooled(self: Tensor, indices: Tensor, size: Ints) -> Tensor:
    """Scatter into zeros. torch's own operator heeds the caller's demand for deterministic algorithms, of which a device knows nothing."""
    held = self.new_zeros(*self.shape[: -len(size)], math.prod(size))
    return held.scatter(-1, indices.flatten(-len(size)), self.flatten(-len(size))).view(*self.shape[: -len(size)], *size)


plain("MaxUnpool2d", "ttIo", _unpooled)
plain("MaxUnpool3d", "ttIIIo", lambda self, indices, size, stride, padding: _unpooled(self, indices, size))


@aclnn
def AdaptiveMaxPool2dBackward(grad: Tensor, self: Tensor, indices: Tensor, out: Out) -> Any:
    return aten.adaptive_max_pool2d_backward.default(grad, self, indices.long())


@aclnn
def AdaptiveMaxPool3dBackward(grad: Tensor, self: Tensor, indices: Tensor, out: Out) -> Any:
    return aten.adaptive_max_pool3d_backward.default(grad, self, indices.long())


@aclnn
def AvgPool2d(
    self: Tensor, kernel: Ints, stride: Ints, padding: Ints, ceil: bool, count_padding: bool, divisor: int, cube_math: Int8, out: Out
) -> Any:
    (self,) = behaviour.cube(cube_math, self)
    return aten.avg_pool2d.default(self, kernel, stride, padding, ceil, count_padding, divisor or None)


@aclnn
def AvgPool2dBackward(
    grad: Tensor,
    self: Tensor,
    kernel: Ints,
    stride: Ints,
    padding: Ints,
    ceil: bool,
    count_padding: bool,
    divisor: int,
    cube_math: Int8,
    out: Out,
) -> Any:
    (grad,) = behaviour.cube(cube_math, grad)
    return aten.avg_pool2d_backward.default(grad, self, kernel, stride, padding, ceil, count_padding, divisor or None)


def _divided(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a pooling whose last argument, the divisor, is 0 where none was given; the CPU has it in no 16 bits."""
    return widened(lambda *arguments: function(*arguments[:-1], arguments[-1] or None))


plain("AvgPool3d", "tIIIbbio", _divided(aten.avg_pool3d.default))
plain("AvgPool3dBackward", "ttIIIbbio", _divided(aten.avg_pool3d_backward.default))


@aclnn
def MaxPool2dWithIndicesBackward(
    grad: Tensor, self: Tensor, indices: Tensor, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil: bool, out: Out
) -> Any:
    return aten.max_pool2d_with_indices_backward.default(grad, self, kernel, stride, padding, dilation, ceil, indices.long())


@aclnn
def MaxPool3dWithArgmaxBackward(
    grad: Tensor, self: Tensor, indices: Tensor, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil: bool, out: Out
) -> Any:
    return aten.max_pool3d_with_indices_backward.default(grad, self, kernel, stride, padding, dilation, ceil, indices.long())


def _pair(sizes: tuple[int, ...], default: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    return (sizes[0], sizes[-1]) if sizes else default


def _bits() -> Tensor:
    return torch.arange(8, dtype=torch.uint8)


@aclnn
def MaxPool2dWithMask(
    self: Tensor, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil: bool, out: Out, mask: Out
) -> tuple[Tensor, Tensor]:
    """self [(N,) C, H, W]; mask int8 [(N,) C, kernel elements, bytes]: a bit an output element, set in the row of its maximum.

    The shape is torch_npu's, which says that this is no index (MaxPool2dWithIndicesKernelNpuOpApi.cpp); the order of the bits is this
    emulator's: that of a device is not published. Only MaxPool2dWithMaskBackward reads it.
    """
    result, indices = aten.max_pool2d_with_indices.default(self, kernel, stride, padding, dilation, ceil)
    size, steps, pads, gaps = _pair(kernel), _pair(stride, _pair(kernel)), _pair(padding), _pair(dilation)
    height, width = result.shape[-2:]
    down = (torch.div(indices, self.shape[-1], rounding_mode="floor") + pads[0] - torch.arange(height)[:, None] * steps[0]) // gaps[0]
    right = (indices % self.shape[-1] + pads[1] - torch.arange(width) * steps[1]) // gaps[1]
    chosen = torch.arange(size[0] * size[1])[:, None] == (down * size[1] + right).flatten(-2).unsqueeze(-2)
    room = mask.shape[-1] * 8
    bits = torch.nn.functional.pad(chosen.to(torch.uint8), (0, room - chosen.shape[-1])).view(*mask.shape, 8)
    return result, (bits << _bits()).sum(-1, dtype=torch.uint8).view(torch.int8)


@aclnn
def MaxPool2dWithMaskBackward(
    grad: Tensor, self: Tensor, mask: Tensor, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil: bool, out: Out
) -> Any:
    size, steps, pads, gaps = _pair(kernel), _pair(stride, _pair(kernel)), _pair(padding), _pair(dilation)
    height, width = grad.shape[-2:]
    bits = (mask.contiguous().view(torch.uint8).unsqueeze(-1) >> _bits() & 1).flatten(-2)[..., : height * width]
    chosen = bits.argmax(-2).view(grad.shape)
    down = torch.arange(height)[:, None] * steps[0] - pads[0] + torch.div(chosen, size[1], rounding_mode="floor") * gaps[0]
    right = torch.arange(width) * steps[1] - pads[1] + chosen % size[1] * gaps[1]
    indices = down * self.shape[-1] + right
    return aten.max_pool2d_with_indices_backward.default(grad, self, kernel, stride, padding, dilation, ceil, indices)
