"""Elements by number or by mask: read, written, filled, found. Knows no sum into numbered places and no table of embeddings."""

import torch
from torch import Tensor

from emulator.found import found
from emulator.operator import Ints, Out, Scalar, Tensors, aclnn, plain

plain("IndexSelect", "tito", torch.index_select)
plain("Gather", "tito", torch.gather)
plain("Take", "tto", torch.take)
plain("IndexCopy", "titto", torch.index_copy)
plain("InplaceIndexCopy", "oitt", torch.Tensor.index_copy_)
plain("IndexFill", "titso", torch.index_fill)
plain("InplaceIndexFill", "oits", torch.Tensor.index_fill_)
plain("InplaceMaskedScatter", "ott", torch.Tensor.masked_scatter_)


@aclnn
def InplacePut(self: Out, index: Tensor, source: Tensor, accumulate: bool) -> Tensor:
    """Write by place in the flat tensor. torch's put_ heeds the caller's demand for deterministic algorithms; a device has none."""
    places = index.reshape(-1).long()
    if places.numel() and not -self.numel() <= int(places.min()) <= int(places.max()) < self.numel():
        raise IndexError(f"a place is out of range for {self.numel()} elements")
    return self.reshape(-1).index_put_([places], source.reshape(-1), accumulate).view(self.shape)


def _indices(given: list[Tensor]) -> list[Tensor | None]:
    """Return the indices, None for a dimension that is not indexed: for it torch_npu passes an empty tensor.

    Indices are expanded to one shape before, so that they are empty all or none; all empty means that nothing is indexed.
    """
    return [index if index.numel() else None for index in given]


@aclnn
def Index(self: Tensor, indices: Tensors, out: Out) -> Tensor:
    return torch.ops.aten.index(self, _indices(indices)) if out.numel() else out


@aclnn
def IndexPutImpl(self: Out, indices: Tensors, values: Tensor, accumulate: bool, unsafe: bool) -> Tensor:
    if not any(index.numel() for index in indices):
        return self
    return torch.ops.aten._index_put_impl_(self, _indices(indices), values, accumulate, unsafe)  # type: ignore[no-any-return]


@aclnn
def GatherV3(self: Tensor, dim: int, index: Tensor, batch_dims: int, mode: int, out: Out) -> Tensor:
    """Slices of `dim` by number, in the shape of the index (page npu_gather_sparse_index). The mode chooses between equal kernels."""
    if batch_dims:
        raise NotImplementedError("batch_dims other than 0 is not emulated: torch_npu passes none")
    return torch.index_select(self, dim, index.reshape(-1)).view(out.shape)


@aclnn
def IndexFillTensor(self: Tensor, dim: int, index: Ints, value: Scalar, out: Out) -> Tensor:
    return torch.index_fill(self, dim, torch.tensor(index, dtype=torch.int64), value)


@aclnn
def InplaceIndexFillTensor(self: Out, dim: int, index: Ints, value: Scalar) -> Tensor:
    return torch.index_fill(self, dim, torch.tensor(index, dtype=torch.int64), value)


@aclnn
def MaskedSelect(self: Tensor, mask: Tensor, out: Out) -> Tensor:
    return found(2, out, torch.masked_select(self, mask.bool()))


@aclnn
def Nonzero(self: Tensor, out: Out) -> Tensor:
    return found(1, out, torch.nonzero(self))


@aclnn
def NonzeroV2(self: Tensor, out: Out) -> Tensor:
    """The same by dimension: (dimensions, found)."""
    return found(1, out, torch.nonzero(self).T)
