"""Lets PyTorch write large results straight to the device's memory: to make and copy them costs more than arithmetic. Knows no operator."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

Function = Callable[..., Any]

# A function of `torch` says so with a TypeError, an operator of `torch.ops` in these words.
_HAS_NO_OUT = re.compile(r"expected at most \d+ argument\(s\) but received|Unknown keyword argument 'out'")

#: Elements from which it is worth it; below, the copy is cheaper than the checks.
LARGE = 1 << 14


def disjoint(out: Tensor, others: Iterable[Any], *, same: bool = False) -> bool:
    """Tell whether no tensor of `others` shares memory with `out`; with `same`, one that is the very same view may."""
    begin, end = _range(out)
    for other in others:
        if not isinstance(other, Tensor):
            continue
        first, last = _range(other)
        if first < end and begin < last and not (same and first == begin and other.shape == out.shape and other.stride() == out.stride()):
            return False
    return True


def _range(tensor: Tensor) -> tuple[int, int]:
    begin = tensor.data_ptr()
    return begin, begin + tensor.untyped_storage().nbytes()


def into(function: Function, out: Tensor | None, operands: list[Any]) -> Any:
    """Return `function(*operands)`, written to `out` if that is large and the function can; `out` is then what is returned.

    Raises RuntimeError: a result of another shape.
    """
    if out is None or out.numel() < LARGE or not disjoint(out, operands):
        return function(*operands)
    shape = out.shape
    try:
        result = function(*operands, out=out)
    except (TypeError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _HAS_NO_OUT.search(str(error)):
            raise
        return function(*operands)
    if result.shape != shape:
        raise RuntimeError(f"computed shape {list(result.shape)} where torch_npu expects {list(shape)}")
    return result
