"""How many terms the longest sum of a computation has: errors grow with it. Knows no case and no bound."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness.dispatch import Dispatch

_aten = torch.ops.aten
_PRODUCTS = {
    _aten.mm.default: 0,
    _aten.bmm.default: 0,
    _aten.mv.default: 0,
    _aten.dot.default: 0,
    _aten.addmm.default: 1,
    _aten.baddbmm.default: 1,
}


class Chain(Dispatch):
    """Counts, over every operator that passes: `longest` is the number of terms of the longest sum.

    A product sums its inner dimension, a reduction the elements that it folds into one. Of other operators that mix elements
    (normalisations, convolutions, scans) it is only known that no sum is longer than their longest operand's longest dimension, times what
    they fold.
    """

    def __init__(self) -> None:
        super().__init__()
        self.longest = 1

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run `func`, and count."""
        result = func(*args, **(kwargs or {}))
        if torch.Tag.pointwise not in func.tags and not func.is_view:
            self.longest = max(self.longest, _terms(func, args, result))
        return result


def _terms(func: Any, args: tuple[Any, ...], result: Any) -> int:
    if func in _PRODUCTS:
        return int(args[_PRODUCTS[func]].shape[-1])
    operands = [a for a in args if isinstance(a, Tensor) and a.is_floating_point() and a.ndim]
    if not operands:
        return 1
    first = (
        result
        if isinstance(result, Tensor)
        else next((r for r in result if isinstance(r, Tensor)), None)
        if isinstance(result, (tuple, list))
        else None
    )
    folded = max(a.numel() for a in operands) // max(first.numel(), 1) if first is not None else 1
    return max(folded, *(max(a.shape) for a in operands))
