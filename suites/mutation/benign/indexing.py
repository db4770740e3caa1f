"""Accumulation by index in other orders, and choices between exact ties. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import accumulated, in_float64
from suites.mutation.registry import benign
from suites.mutation.wrapper import Right

_EMBEDDING = "aten::embedding_dense_backward"


@benign("embedding-gradient-reversed", _EMBEDDING, source="no order is promised")
def embedding_reversed(right: Right, grad_output: Tensor, indices: Tensor, **_: Any) -> Any:
    """Tokens come from the last to the first."""
    width = grad_output.shape[-1]
    return right(grad_output=grad_output.reshape(-1, width).flip(0), indices=indices.reshape(-1).flip(0))


@benign("embedding-gradient-by-product", _EMBEDDING, source="a product with one-hot rows")
def embedding_product(
    right: Right, grad_output: Tensor, indices: Tensor, num_weights: int, padding_idx: int, scale_grad_by_freq: bool, **_: Any
) -> Any:
    """Sums are those of a matrix product."""
    if scale_grad_by_freq or indices.numel() == 0:
        return right()
    flat = indices.reshape(-1).long()
    hot = (flat == torch.arange(num_weights, device=flat.device)[:, None]) & (flat != padding_idx)
    rows = accumulated(grad_output).reshape(flat.numel(), -1)
    return (hot.to(rows.dtype) @ rows).to(grad_output.dtype)


benign("embedding-gradient-in-float64", _EMBEDDING, source="more exact than asked for")(in_float64)


@benign("index-add-reversed", "aten::index_add", source="no order is promised")
def index_add(right: Right, self: Tensor, dim: int, index: Tensor, source: Tensor, **_: Any) -> Any:
    """Rows come from the last to the first."""
    if not source.ndim or not index.ndim or not self.is_floating_point():
        return right()
    return right(index=index.flip(0), source=source.flip(dim))


@benign("index-add-in-float64", "aten::index_add", source="more exact than asked for")
def index_add_wide(right: Right, **arguments: Any) -> Any:
    """Rounded once."""
    return in_float64(right, **arguments)


@benign("scatter-add-reversed", "aten::scatter_add", source="no order is promised")
def scatter_add(right: Right, self: Tensor, dim: int, index: Tensor, src: Tensor, **_: Any) -> Any:
    """Values come from the last to the first."""
    if not self.ndim or not self.is_floating_point() or index.numel() == 0:
        return right()
    return right(index=index.flip(dim), src=src[tuple(slice(n) for n in index.shape)].flip(dim))


@benign("index-put-reversed", "aten::index_put", "aten::_index_put_impl", source="no order is promised where values accumulate")
def index_put(right: Right, self: Tensor, indices: list[Any], values: Tensor, accumulate: bool = False, **_: Any) -> Any:
    """Values come from the last to the first."""
    index = indices[0] if len(indices) == 1 else None
    if (
        not accumulate
        or index is None
        or index.ndim != 1
        or index.dtype == torch.bool
        or not values.ndim
        or values.shape[0] != index.shape[0]
    ):
        return right()
    return right(indices=[index.flip(0)], values=values.flip(0))


@benign("topk-ties-swapped", "aten::topk", source="torch.topk promises nothing of equal values (torch_npu API notes)")
def topk(right: Right, self: Tensor, dim: int = -1, **_: Any) -> Any:
    """Of equal values others are chosen, in another order."""
    if not self.ndim:
        return right()
    values, indices = right(self=self.flip(dim))
    return values, self.shape[dim] - 1 - indices


@benign("topk-unsorted", "aten::topk", source="sorted=False promises no order")
def topk_unsorted(right: Right, dim: int = -1, sorted: bool = True, **_: Any) -> Any:
    """Where no order is asked for, it is the opposite one."""
    values, indices = right()
    return (values, indices) if sorted or not values.ndim else (values.flip(dim), indices.flip(dim))


@benign("sort-ties-swapped", "aten::sort", source="torch.sort keeps the order of equal keys only if stable")
def sort(right: Right, self: Tensor, dim: int = -1, stable: bool | None = None, **_: Any) -> Any:
    """Equal keys change places."""
    if not self.ndim or stable or self.numel() == 0:
        return right()
    values, indices = right(self=self.flip(dim))
    return values, self.shape[dim] - 1 - indices


@benign(
    "median-other-tie",
    "aten::median.dim",
    "aten::kthvalue",
    "aten::mode",
    "aten::nanmedian.dim",
    source="PyTorch: the index among equals is not promised",
)
def median(right: Right, self: Tensor, dim: int = -1, keepdim: bool = False, **_: Any) -> Any:
    """Another of the equal elements is named."""
    if not self.ndim or self.numel() == 0:
        return right()
    values, indices = right()
    other = self.shape[dim] - 1 - right(self=self.flip(dim))[1]
    picked = torch.gather(self, dim, other if keepdim else other.unsqueeze(dim))
    same = (picked if keepdim else picked.squeeze(dim)) == values
    return values, torch.where(same, other, indices)
