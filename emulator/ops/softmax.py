"""Softmax and log softmax, masked ones too, and their backwards. Knows no attention."""

from typing import Any

import torch
from torch import Tensor

from emulator.operator import Out, aclnn


@aclnn
def Softmax(self: Tensor, dim: int, out: Out) -> Tensor:
    return torch.softmax(self, dim, dtype=out.dtype)


@aclnn
def SoftmaxBackward(grad: Tensor, output: Tensor, dim: int, out: Out) -> Any:
    return torch.ops.aten._softmax_backward_data.default(grad, output, dim, grad.dtype)


@aclnn
def LogSoftmax(self: Tensor, dim: int, out: Out) -> Tensor:
    return torch.log_softmax(self, dim, dtype=out.dtype)


@aclnn
def LogSoftmaxBackward(grad: Tensor, output: Tensor, dim: int, out: Out) -> Any:
    return torch.ops.aten._log_softmax_backward_data.default(grad, output, dim, grad.dtype)


@aclnn
def ScaledMaskedSoftmax(self: Tensor, mask: Tensor, scale: float, triangle: bool, out: Out) -> Tensor:
    """self [B, N, S1, S2], bool mask that broadcasts: softmax of scale self, in float32, where masked elements count as -10000.

    Source: hicann/ops-nn, aclnnScaledMaskedSoftmax.md and its kernel: a mask that it makes itself (`triangle`) is not supported.
    """
    if triangle:
        raise NotImplementedError("ScaledMaskedSoftmax: fixed_triu_mask is documented as not supported")
    return torch.softmax((self.float() * scale).masked_fill(mask, -10000.0), -1)


@aclnn
def ScaledMaskedSoftmaxBackward(grad: Tensor, output: Tensor, mask: Tensor, scale: float, triangle: bool, out: Out) -> Any:
    """The derivative of ScaledMaskedSoftmax with respect to self, in float32.

    Source: hicann/ops-nn, aclnnScaledMaskedSoftmaxBackward.md.
    """
    if triangle:
        raise NotImplementedError("ScaledMaskedSoftmaxBackward: fixed_triu_mask is documented as not supported")
    wide = torch.ops.aten._softmax_backward_data.default(grad.float(), output.float(), -1, torch.float32)
    return (wide * scale).masked_fill(mask, 0.0)


@aclnn
def MaskedSoftmaxWithRelPosBias(self: Tensor, mask: Tensor | None, bias: Tensor, scale: float, precision: int, out: Out) -> Tensor:
    """self [B, W, N, S1, S2] or [B W, N, S1, S2], mask [W, S1, S2], bias [N, S1, S2] (both with ones between): softmax of their sum.

    self is scaled first; in float32, whatever `precision` says of the device's own.
    Source: hicann/ops-nn, aclnnMaskedSoftmaxWithRelPosBias.md.
    """
    heads, *last = self.shape[-3:]
    wide = self.float() * scale
    if mask is not None:
        windows = mask.float().reshape(-1, 1, *last)
        wide = wide.reshape(-1, len(windows), heads, *last) + windows
    return torch.softmax(wide + bias.float().reshape(heads, *last), -1).view(out.shape)
