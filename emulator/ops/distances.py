"""Distances between rows, and their backward. Knows no box and no loss."""

from typing import Any

import torch
from torch import Tensor

from emulator.operator import Float32, Out, aclnn

aten = torch.ops.aten


@aclnn
def Cdist(self: Tensor, other: Tensor, p: Float32, mode: int, out: Out) -> Any:
    wide = self.to(torch.promote_types(self.dtype, torch.float32)), other.to(torch.promote_types(other.dtype, torch.float32))
    return aten._cdist_forward.default(*wide, p, mode)  # PyTorch has it from 32 bits on


@aclnn
def CdistBackward(grad: Tensor, self: Tensor, other: Tensor, distances: Tensor, p: Float32, out: Out) -> Any:
    return aten._cdist_backward.default(grad, self, other, p, distances)


@aclnn
def Pdist(self: Tensor, p: Float32, out: Out) -> Any:
    return aten._pdist_forward.default(self.to(torch.promote_types(self.dtype, torch.float32)).contiguous(), p)
