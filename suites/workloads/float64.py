"""The arithmetic of a golden: nothing is computed in less than float64, whatever the code asks for. Knows no model and no case."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

T = TypeVar("T")

_WIDER = {
    torch.float32: torch.float64, torch.bfloat16: torch.float64, torch.float16: torch.float64,
    torch.complex64: torch.complex128, torch.complex32: torch.complex128,
}  # fmt: skip


class Float64(TorchFunctionMode):
    """While this is entered, nothing is computed in less than float64: a request for a narrower dtype gets float64.

    Model code converts to float32 where that is wider than its own dtype (normalisation, rotary angles, softmax). With
    float64 weights the same lines would round to float32, and the golden would be no better than the device.
    """

    def __torch_function__(
        self, func: Callable[..., T], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> T:
        """Replace dtypes among the arguments; what is created without one follows the default dtype and is left alone."""
        wider: Callable[..., Any] = _METHODS.get(func, func)
        result: T = wider(*(_widened(a) for a in args), **{k: _widened(v) for k, v in (kwargs or {}).items()})
        return result


_METHODS: Mapping[Any, Callable[..., Any]] = {
    Tensor.float: Tensor.double, Tensor.half: Tensor.double, Tensor.bfloat16: Tensor.double,
    Tensor.cfloat: Tensor.cdouble, Tensor.chalf: Tensor.cdouble,  # type: ignore[attr-defined]  # its stubs lack them
}  # fmt: skip


def _widened(argument: Any) -> Any:
    return _WIDER.get(argument, argument) if isinstance(argument, torch.dtype) else argument


@contextmanager
def by_default() -> Iterator[None]:
    """Enter `Float64`, and let what has no dtype of its own (a mean of integers, a new tensor) be float64 as well."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with Float64():
            yield
    finally:
        torch.set_default_dtype(before)
