"""Order: sorted values, the largest and the smallest few, distinct ones, places in a sorted sequence. Knows no reduction to one.

Among equal values the lower index comes first, always. torch's CPU top-k promises no order among ties, and neither does Ascend's: under the
policy that torch_npu asks for it follows CUDA's bitonic network for k up to 32 (cann/ops-nn, TopKV2).
"""

import torch
from torch import Tensor

from emulator.operator import Out, Scalar, aclnn


@aclnn
def Sort(self: Tensor, stable: bool, dim: int, descending: bool, values: Out, indices: Out) -> tuple[Tensor, Tensor]:
    return torch.sort(self, dim=dim, descending=descending, stable=True)


@aclnn
def Topk(self: Tensor, k: int, dim: int, largest: bool, ordered: bool, values: Out, indices: Out) -> tuple[Tensor, Tensor]:
    """Return the first k of the stable order, in this order whether or not it is asked for."""
    found, places = torch.sort(self, dim=dim, descending=largest, stable=True)
    if self.dim() == 0:
        return found, places
    return found.narrow(dim, 0, k), places.narrow(dim, 0, k)


@aclnn
def TopkV2(self: Tensor, k: int, dim: int, largest: bool, ordered: bool, policy: int, values: Out, indices: Out) -> tuple[Tensor, Tensor]:
    """Return what Topk returns: the policy (0 default, 1 bitonic) tells the order among ties only, on devices that know it."""
    return Topk(self, k, dim, largest, ordered, values, indices)


@aclnn
def Kthvalue(self: Tensor, k: int, dim: int, keepdim: bool, values: Out, indices: Out) -> tuple[Tensor, Tensor]:
    """Return the k-th of the stable order, NaN last; torch's CPU gives any index among ties. A number has one (aclnn_kthvalue.cpp)."""
    size = self.shape[dim] if self.dim() else 1
    if not 1 <= k <= size:
        raise ValueError(f"k is {k}, and there are {size}")
    ordered, places = torch.sort(self, dim=dim, stable=True)
    if self.dim() == 0:
        return ordered, places
    chosen = ordered.narrow(dim, k - 1, 1), places.narrow(dim, k - 1, 1)
    return chosen if keepdim else (chosen[0].squeeze(dim), chosen[1].squeeze(dim))


@aclnn
def SearchSorted(sequence: Tensor, values: Tensor, int32: bool, right: bool, sorter: Tensor | None, out: Out) -> Tensor:
    return torch.searchsorted(sequence, values, right=right, sorter=sorter)


@aclnn
def SearchSorteds(sequence: Tensor, value: Scalar, int32: bool, right: bool, sorter: Tensor | None, out: Out) -> Tensor:
    return torch.searchsorted(sequence, value, right=right, sorter=sorter)


@aclnn
def Bucketize(values: Tensor, boundaries: Tensor, int32: bool, right: bool, out: Out) -> Tensor:
    return torch.bucketize(values, boundaries, right=right)
