"""Other forms of the same computation that nobody can call wrong: operators taken apart, sums in another order. Knows no case.

Both work where every operator passes, on any device, forward and backward. What they give are *accepted references*: a
device may do what any of them does. Intermediate results are rounded to the dtype wherever the parts of an operator meet.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

from harness.chain import Chain
from harness.dispatch import Dispatch
from harness.manner import MOVED, Manner

_aten = torch.ops.aten
Operator = Callable[..., Any]


def form(manner: Manner) -> AbstractContextManager[object]:
    """Return the context in which a case is evaluated in that manner; where inputs are moved, it counts the terms of sums."""
    made: Mapping[Manner, Callable[[], AbstractContextManager[object]]] = {
        Manner.UNFUSED: Unfused, Manner.REORDERED: Reordered, **dict.fromkeys(MOVED, Chain),
    }  # fmt: skip
    return made.get(manner, nullcontext)()


@cache
def _decompositions() -> Mapping[Any, Operator]:
    """PyTorch's own definitions of its operators by smaller ones, but for those that draw random numbers."""
    from torch._decomp import decomposition_table  # slow to import, and seldom needed

    return {op: plain for op, plain in decomposition_table.items() if torch.Tag.nondeterministic_seeded not in getattr(op, "tags", ())}


class Unfused(Dispatch):
    """Every operator that PyTorch defines by smaller ones is computed by those, down to what has no such definition."""

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Take `func` apart. What its definition cannot do, the operator itself does."""
        plain = _decompositions().get(func)
        if plain is None:
            return func(*args, **(kwargs or {}))
        try:
            with self:
                return plain(*args, **(kwargs or {}))
        except (NotImplementedError, RuntimeError, TypeError, ValueError, AssertionError, IndexError):
            return func(*args, **(kwargs or {}))


class Reordered(Dispatch):
    """Products and sums run over their terms from the last to the first."""

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Turn the operands of `func` round, where it is a product or a sum."""
        turned = _TURNED.get(func)
        if turned is None:
            return func(*args, **(kwargs or {}))
        return turned(func, *args, **(kwargs or {}))


def _product(func: Operator, a: Tensor, b: Tensor, **kwargs: Any) -> Any:
    return func(a.flip(-1), b.flip(-2), **kwargs)


def _product_added(func: Operator, c: Tensor, a: Tensor, b: Tensor, **kwargs: Any) -> Any:
    return func(c, a.flip(-1), b.flip(-2), **kwargs)


def _whole(func: Operator, x: Tensor, **kwargs: Any) -> Any:
    return func(x.reshape(-1).flip(0), **kwargs)


def _over(func: Operator, x: Tensor, dim: Any = None, *rest: Any, **kwargs: Any) -> Any:
    dims = range(x.ndim) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    return func(x.flip([d % x.ndim for d in dims]) if x.ndim else x, dim, *rest, **kwargs)


def _norm(func: Operator, x: Tensor, order: Any = 2, dim: Any = None, *rest: Any, **kwargs: Any) -> Any:
    return func(x.flip(list(range(x.ndim)) if dim is None else list(dim)) if x.ndim else x, order, dim, *rest, **kwargs)


def _along(func: Operator, x: Tensor, dim: int, *rest: Any, **kwargs: Any) -> Any:
    if x.ndim == 0:
        return func(x, dim, *rest, **kwargs)
    return func(x.flip(dim), dim, *rest, **kwargs).flip(dim)


_TURNED: Mapping[Any, Operator] = {
    _aten.mm.default: _product, _aten.bmm.default: _product, _aten.dot.default: lambda func, a, b: func(a.flip(0), b.flip(0)),
    _aten.mv.default: lambda func, a, b: func(a.flip(1), b.flip(0)),
    _aten.addmm.default: _product_added, _aten.baddbmm.default: _product_added,
    _aten.sum.default: _whole, _aten.mean.default: _whole,
    _aten.sum.dim_IntList: _over, _aten.mean.dim: _over, _aten.var_mean.correction: _over, _aten.logsumexp.default: _over,
    _aten.linalg_vector_norm.default: _norm,
    _aten._softmax.default: _along, _aten._log_softmax.default: _along,
}  # fmt: skip
