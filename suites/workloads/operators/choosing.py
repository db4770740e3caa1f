"""Operators that order values, and may choose among equal ones as they like: their places are compared as far as anybody promises them.

PyTorch promises an order among equals to those who ask for a stable sort, and to nobody else. Knows no device.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from suites.workloads.operators.samples import Sample

#: Each with where its dimension stands among the arguments behind the input, and the one that it takes without any (None: all of them).
CHOOSING: Mapping[str, tuple[int, int | None]] = {
    "sort": (0, -1), "argsort": (0, -1), "msort": (0, 0), "topk": (1, -1), "kthvalue": (1, -1), "mode": (0, -1),
    "median": (0, None), "nanmedian": (0, None),
}  # fmt: skip


def chosen(name: str, operator: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operator with its places, int64 as ever, replaced by the first place that holds the same value.

    Beside them it returns how often a row of places names one twice.
    """

    def call(x: Tensor, *rest: Any, **keywords: Any) -> Any:
        result = operator(x, *rest, **keywords)
        dim = _dim(name, rest, keywords)
        if name == "msort" or dim is None or keywords.get("stable") or x.ndim == 0:
            return result
        values, places = (None, result) if isinstance(result, Tensor) else result
        return values, *_told(x.detach().cpu(), places.detach().cpu(), dim)

    return call


def settled(name: str, sample: Sample) -> Sample:
    """Return the sample, without a gradient where equal values could share it in more than one way."""
    x, *rest = sample.arguments
    dim = _dim(name, tuple(rest), sample.keywords)
    if dim is None or sample.keywords.get("stable") or x.ndim == 0:
        return sample
    first = first_equal(x.detach(), dim)
    alike = bool((first != _positions(first, dim)).any())
    return replace(sample, differentiated=lambda result: ()) if alike else sample


def first_equal(x: Tensor, dim: int) -> Tensor:
    """Return for each element the first place along `dim` that holds the same value: int64, the shape of `x`."""
    if x.numel() == 0:
        return torch.zeros_like(x, dtype=torch.int64)
    values, order = x.sort(dim=dim, stable=True)
    begins = torch.ones_like(order, dtype=torch.bool)
    rest = x.shape[dim] - 1
    begins.narrow(dim, 1, rest).copy_(values.narrow(dim, 1, rest) != values.narrow(dim, 0, rest))
    start = torch.where(begins, _positions(order, dim), 0).cummax(dim).values
    return torch.empty_like(order).scatter(dim, order, order.gather(dim, start))


def _positions(like: Tensor, dim: int) -> Tensor:
    shape = [-1 if d == dim % like.ndim else 1 for d in range(like.ndim)]
    return torch.arange(like.shape[dim]).reshape(shape).expand(like.shape)


def _told(x: Tensor, places: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    whole = places if places.ndim == x.ndim else places.unsqueeze(dim)
    first = first_equal(x, dim).gather(dim, whole.long()).reshape(places.shape).to(places.dtype)
    ordered = whole.sort(dim=dim).values.movedim(dim, -1)
    twice = ordered[..., 1:] == ordered[..., :-1]
    return first, twice.sum()


def _dim(name: str, rest: tuple[Any, ...], keywords: Mapping[str, Any]) -> int | None:
    place, default = CHOOSING[name]
    dim: int | None = keywords.get("dim", rest[place] if len(rest) > place else default)
    return dim
