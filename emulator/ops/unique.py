"""Distinct elements, their counts and where they were. Knows no order but the ascending one."""

import torch
from torch import Tensor

from emulator.found import found
from emulator.operator import Out, aclnn

_NO_DIM = 1000  # torch_npu's number for "of all elements"


@aclnn
def Unique(self: Tensor, ordered: bool, inverse: bool, out: Out, places: Out) -> tuple[Tensor, Tensor]:
    values, where = torch._unique(self, True, inverse)
    return found(3, out, values), where if inverse else places


@aclnn
def Unique2(self: Tensor, ordered: bool, inverse: bool, count: bool, out: Out, places: Out, counts: Out) -> tuple[Tensor, Tensor, Tensor]:
    values, where, number = torch._unique2(self, True, True, count)
    return found(4, out, values), where if places.numel() else places, found(6, counts, number) if count else counts


@aclnn
def UniqueConsecutive(
    self: Tensor, inverse: bool, count: bool, dim: int, out: Out, places: Out, counts: Out
) -> tuple[Tensor, Tensor, Tensor]:
    values, where, number = torch.ops.aten.unique_consecutive(self, inverse, count, None if dim == _NO_DIM else dim)
    return found(4, out, values), where if inverse else places, found(6, counts, number) if count else counts


@aclnn
def UniqueDim(self: Tensor, ordered: bool, inverse: bool, dim: int, out: Out, places: Out, counts: Out) -> tuple[Tensor, Tensor, Tensor]:
    values, where, number = torch.ops.aten.unique_dim(self, dim, True, True, True)
    return found(4, out, values), where, found(6, counts, number)
