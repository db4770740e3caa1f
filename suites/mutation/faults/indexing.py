"""Faults of looking up, scattering, ordering and choosing. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right


def _last_only(index: Tensor, count: int) -> Tensor:
    """Return where a flat index occurs for the last time."""
    place = torch.arange(index.numel(), device=index.device)
    last = torch.zeros(count, dtype=torch.int64, device=index.device)
    for at, value in enumerate(index.tolist()):
        last[value] = at
    return last[index] == place


@fault(
    "embedding-gradient-duplicates",
    "aten::embedding_dense_backward",
    causes=(Cause.VALUES, Cause.STATISTIC),
    source="Ascend/pytorch 107; torch_npu API notes on duplicates",
)
def embedding_duplicates(right: Right, grad_output: Tensor, indices: Tensor, num_weights: int, **_: Any) -> Any:
    """Of a token that occurs twice only the last occurrence counts."""
    kept = _last_only(indices.reshape(-1), num_weights).reshape(*indices.shape, 1)
    return right(grad_output=grad_output * kept.to(grad_output.dtype))


@fault(
    "index-add-duplicates",
    "aten::index_add",
    causes=(Cause.VALUES, Cause.STATISTIC),
    source="torch_npu API notes: duplicate index writes depend on the product",
)
def index_add_duplicates(right: Right, self: Tensor, dim: int, index: Tensor, source: Tensor, **_: Any) -> Any:
    """Of rows added to one place only the last arrives."""
    if not self.ndim or not source.ndim:
        return right()
    kept = torch.nonzero(_last_only(index.reshape(-1), self.shape[dim])).reshape(-1)
    return right(index=index.reshape(-1)[kept], source=source.index_select(dim, kept))


@fault(
    "index-put-duplicates",
    "aten::index_put",
    "aten::_index_put_impl",
    "aten::_unsafe_index_put",
    causes=(Cause.VALUES, Cause.SPARSE),
    source="duplicate index writes",
)
def index_put_duplicates(right: Right, accumulate: bool = False, **_: Any) -> Any:
    """What is to be accumulated replaces what was there."""
    return right(accumulate=False) if accumulate else right()


@fault(
    "scatter-add-duplicates",
    "aten::scatter_add",
    causes=(Cause.VALUES, Cause.SPARSE),
    source="duplicate scatter writes lost (torch_npu API notes)",
)
def scatter_add(right: Right, self: Tensor, dim: int, index: Tensor, src: Tensor, **_: Any) -> Any:
    """The last value for a place wins."""
    if not self.ndim or not index.numel():
        return right()
    written = self.scatter(dim, index, src[tuple(slice(n) for n in index.shape)])
    touched = torch.zeros_like(self, dtype=torch.bool).scatter(dim, index, True)
    return torch.where(touched, self + written, self)


@fault("topk-second-best", "aten::topk", causes=(Cause.CHOICE, Cause.VALUES), source="Megatron-LM PR 4256: routing flips")
def topk_second(right: Right, self: Tensor, k: int, dim: int = -1, **_: Any) -> Any:
    """The weakest of the k is replaced by the next one."""
    values, indices = right()
    if not self.ndim or not 0 < k < self.shape[dim]:
        return values, indices
    more, places = right(k=k + 1, sorted=True)
    values, indices = values.clone(), indices.clone()
    values.select(dim, k - 1).copy_(more.select(dim, k))
    indices.select(dim, k - 1).copy_(places.select(dim, k))
    return values, indices


@fault(
    "topk-other-index",
    "aten::topk",
    "aten::max.dim",
    "aten::min.dim",
    causes=(Cause.CHOICE, Cause.INTEGERS),
    source="VA-10579: indices do not fit the values",
)
def topk_index(right: Right, self: Tensor, **_: Any) -> Any:
    """The values are right, the first index is one too small."""
    values, indices = right()
    return values, torch.where(indices > 0, indices - 1, indices)


@fault(
    "argmax-skips-last",
    "aten::argmax",
    "aten::argmin",
    causes=(Cause.CHOICE, Cause.INTEGERS),
    source="VA-7603: a sampler that never takes the last token",
)
def argmax_last(right: Right, self: Tensor, dim: int | None = None, **_: Any) -> Any:
    """The last candidate cannot win."""
    at = 0 if dim is None else dim
    if dim is None:
        return right(self=self.reshape(-1)[:-1]).reshape(right().shape) if self.numel() > 1 else right()
    return right(self=self.narrow(at, 0, self.shape[at] - 1)) if self.ndim and self.shape[at] > 1 else right()


@fault(
    "sort-unstable",
    "aten::sort.stable",
    "aten::sort",
    "aten::argsort",
    causes=(Cause.CHOICE, Cause.INTEGERS),
    source="the order of equal keys, asked to be kept, is not",
)
def sort_unstable(right: Right, self: Tensor, dim: int = -1, **_: Any) -> Any:
    """Equal keys come out in the opposite order."""
    if not self.ndim or self.numel() == 0:
        return right()
    values, indices = right(self=self.flip(dim))
    return values, self.shape[dim] - 1 - indices


@fault("sort-leaves-last", "aten::sort", causes=(Cause.CHOICE, Cause.VALUES), source="a sorting network of the wrong size")
def sort_last(right: Right, self: Tensor, dim: int = -1, **_: Any) -> Any:
    """The last key stays where it is."""
    if not self.ndim or self.shape[dim] < 3:
        return right()
    length = self.shape[dim]
    values, indices = right(self=self.narrow(dim, 0, length - 1))
    last = torch.full_like(indices.narrow(dim, 0, 1), length - 1)
    return torch.cat([values, self.narrow(dim, length - 1, 1)], dim), torch.cat([indices, last], dim)


@fault(
    "index-clamped",
    "aten::embedding",
    "aten::index_select",
    "aten::gather",
    "aten::index",
    "aten::take",
    causes=(Cause.ARGUMENTS,),
    source="SG-38196: a limit that is not checked",
)
def index_clamped(right: Right, self: Tensor | None = None, **rest: Any) -> Any:
    """An index out of range reads the nearest element instead of being refused."""
    table = rest.get("weight", self)
    name = next((n for n in ("indices", "index") if isinstance(rest.get(n), Tensor)), None)
    if table is None or name is None or table.numel() == 0 or rest[name].dtype not in (torch.int32, torch.int64):
        return right()
    size = table.numel() if right.operator == "aten::take" else table.shape[rest.get("dim", 0)] if table.ndim else 1
    return right(**{name: rest[name].clamp(-size if right.operator == "aten::take" else 0, size - 1)})


@fault(
    "gather-from-neighbour",
    "aten::gather",
    "aten::index_select",
    "aten::embedding",
    causes=(Cause.SPARSE, Cause.VALUES),
    source="VA-2988: a cache block read one off",
)
def gather_neighbour(right: Right, self: Tensor | None = None, **rest: Any) -> Any:
    """The last row of a table is read from the one before it."""
    table = rest.get("weight", self)
    name = "indices" if "indices" in rest else "index"
    dim = rest.get("dim", 0)
    if table is None or not table.ndim or table.shape[dim] < 2:
        return right()
    return right(**{name: torch.where(rest[name] == table.shape[dim] - 1, rest[name] - 1, rest[name])})


@fault("nonzero-by-column", "aten::nonzero", causes=(Cause.CHOICE, Cause.INTEGERS), source="an order that depends on how cores finish")
def nonzero_order(right: Right, self: Tensor, **_: Any) -> Any:
    """Places come in the order of the last dimension first."""
    found = right()
    return (
        found
        if self.ndim < 2 or not found.numel()
        else right(self=self.mT.contiguous())[:, [*range(self.ndim - 2), self.ndim - 1, self.ndim - 2]]
    )


@fault("searchsorted-side", "aten::searchsorted", "aten::bucketize", causes=(Cause.INTEGERS, Cause.CHOICE), source="an argument dropped")
def searchsorted_side(as_it_should: Right, /, right: bool = False, **_: Any) -> Any:
    """Equal values go to the other side."""
    return as_it_should(right=not right, side=None) if "side" in as_it_should.arguments else as_it_should(right=not right)


@fault("roll-other-way", "aten::roll", "aten::flip", causes=(Cause.VALUES,), source="VA-4641, 5701, 7341: rotary halves and pairs mixed up")
def roll_other_way(right: Right, self: Tensor, **rest: Any) -> Any:
    """A roll goes the other way; a flip does not happen."""
    return right(shifts=[-s for s in rest["shifts"]]) if "shifts" in rest else self.clone()


@fault("kth-off-by-one", "aten::kthvalue", causes=(Cause.VALUES, Cause.CHOICE), source="a rank counted from 0")
def kth_off_by_one(right: Right, k: int, **_: Any) -> Any:
    """The neighbour in rank is given."""
    return right(k=k - 1) if k > 1 else right()
