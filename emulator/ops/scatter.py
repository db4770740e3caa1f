"""Values put or reduced into numbered places of a tensor. Knows no reading by index."""

import torch
from torch import Tensor

from emulator.operator import Out, Outs, Scalar, aclnn, plain

plain("ScatterAdd", "titto", torch.scatter_add)

#: torch_npu's numbers, in ScatterKernelNpuOpApi.cpp and ScatterReduceKernelNpuOpApi.cpp.
_REDUCE = {1: "sum", 2: "prod", 3: "amax", 4: "amin", 5: "mean"}


def _scatter(self: Tensor, dim: int, index: Tensor, source: Tensor | float, reduction: int) -> Tensor:
    if reduction == 0:
        return torch.scatter(self, dim, index, source)
    given = source if isinstance(source, Tensor) else torch.full(index.shape, source, dtype=self.dtype)
    return torch.scatter_reduce(self, dim, index, given, _REDUCE[reduction])


@aclnn
def Scatter(self: Tensor, dim: int, index: Tensor, source: Tensor, reduction: int, out: Out) -> Tensor:
    return _scatter(self, dim, index, source, reduction)


@aclnn
def ScatterValue(self: Tensor, dim: int, index: Tensor, value: Scalar, reduction: int, out: Out) -> Tensor:
    return _scatter(self, dim, index, value, reduction)


@aclnn
def InplaceScatter(self: Out, dim: int, index: Tensor, source: Tensor, reduction: int) -> Tensor:
    return _scatter(self, dim, index, source, reduction)


@aclnn
def InplaceScatterValue(self: Out, dim: int, index: Tensor, value: Scalar, reduction: int) -> Tensor:
    return _scatter(self, dim, index, value, reduction)


@aclnn
def ScatterReduce(self: Tensor, dim: int, index: Tensor, source: Tensor, reduction: int, include_self: bool, out: Out) -> Tensor:
    return torch.scatter_reduce(self, dim, index, source, _REDUCE[reduction], include_self=include_self)


@aclnn
def InplaceScatterReduce(self: Out, dim: int, index: Tensor, source: Tensor, reduction: int, include_self: bool) -> Tensor:
    return torch.scatter_reduce(self, dim, index, source, _REDUCE[reduction], include_self=include_self)


@aclnn
def IndexAdd(self: Tensor, dim: int, index: Tensor, source: Tensor, alpha: Scalar, out: Out) -> Tensor:
    return torch.index_add(self, dim, index, source, alpha=alpha)


@aclnn
def IndexAddV2(self: Tensor, dim: int, index: Tensor, source: Tensor, alpha: Scalar, mode: int, out: Out) -> Tensor:
    """IndexAdd. Mode 0 is a device's fast path, which is documented to leave alpha out unless it computes deterministically."""
    if mode == 0 and alpha != 1:
        raise ValueError(f"mode 0 with alpha {alpha}: documented to ignore alpha, or not, by whether the device is deterministic")
    return torch.index_add(self, dim, index, source, alpha=alpha)


@aclnn
def ScatterNdUpdate(self: Out, indices: Tensor, updates: Tensor) -> Tensor:
    """Slices put where the last dimension of `indices` says; of equal places the last wins (page npu_scatter_nd_update)."""
    return self.index_put_(tuple(indices.long().unbind(-1)), updates)


@aclnn
def InplaceScatterUpdate(self: Out, indices: Tensor, updates: Tensor, axis: int) -> Tensor:
    """By batch, `updates` put at an offset of `axis` (aclnnInplaceScatterUpdate): one offset a batch in indices (batch,).

    Raises NotImplementedError: indices of two dimensions, whose meaning is not documented.
    """
    if indices.dim() > 1:
        raise NotImplementedError("indices of two dimensions are not emulated: their meaning is not documented")
    axis, length = axis % self.dim(), updates.shape[axis]
    for batch, offset in enumerate(indices.reshape(-1).tolist()):
        self[batch].narrow(axis - 1, offset, length).copy_(updates[batch])
    return self


@aclnn
def ScatterList(tensors: Outs, indices: Tensor, updates: Tensor, mask: Tensor | None, reduce: str, axis: int) -> tuple[list[Tensor]]:
    """By tensor i of the list, updates[i] put at an offset of `axis`, which counts the dimensions of `updates` (aclnnScatterList).

    The indices are offsets (tensors,), or offsets and lengths (tensors, 2); a tensor whose mask is 0 stays.
    """
    if reduce != "update":
        raise ValueError(f"reduce is {reduce!r}; only 'update' is known")
    axis = axis % updates.dim() - 1
    for place, tensor in enumerate(tensors):
        offset, length = int(indices[place].reshape(-1)[0]), updates.shape[axis + 1]
        if indices.dim() == 2:
            length = int(indices[place, 1])
        if mask is None or bool(mask.reshape(-1)[place]):
            tensor.narrow(axis, offset, length).copy_(updates[place].narrow(axis, 0, length))
    return (tensors,)


@aclnn
def CoalesceSparse(
    distinct: Tensor, places: Tensor, indices: Tensor, values: Tensor, new_indices: Out, new_values: Out
) -> tuple[Tensor, Tensor]:
    """Sums of the values of equal indices, in their order: entry i, of index `indices[i]`, goes to place `places[i]` (SparseCoalesce)."""
    sums = torch.zeros(new_values.shape, dtype=values.dtype).index_add(0, places, values)
    return torch.zeros_like(new_indices).index_copy(0, places.long(), indices), sums
