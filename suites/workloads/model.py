"""A language model inside a workload: placed on the device, and evaluated in the arithmetic that is asked for. Knows no task."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from harness.errors import AssayError
from harness.inputs import Inputs

T = TypeVar("T")

_NARROWER = (torch.float32, torch.bfloat16, torch.float16)


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
}  # fmt: skip


def _widened(argument: Any) -> Any:
    return torch.float64 if isinstance(argument, torch.dtype) and argument in _NARROWER else argument


def arithmetic(inputs: Inputs, mixed: bool = False) -> AbstractContextManager[object]:
    """Return the context in which a model runs forward: float64 throughout for the golden; with `mixed`, autocast to a narrow dtype.

    Without `mixed` the weights have the case's dtype, and the model's own code decides.
    """
    if inputs.golden:
        return Float64()
    if mixed and inputs.dtype is not torch.float32:
        return torch.autocast(device_type=inputs.device.type, dtype=inputs.dtype)
    return nullcontext()


def place(inputs: Inputs, model: PreTrainedModel, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """Put a host model on the device as the input `weights`, rounded to `dtype` (default: the case's); the object is reused."""
    placed = inputs.module("weights", model, dtype)
    assert isinstance(placed, PreTrainedModel)
    return placed


def refuse_dropout(model: PreTrainedModel, name: str) -> None:
    """Raise AssayError where training would drop elements at random: devices draw differently, so nothing could be compared."""
    rates = {key: value for key, value in model.config.to_dict().items() if "drop" in key and isinstance(value, float)}
    rates |= {path: module.p for path, module in model.named_modules() if isinstance(module, nn.Dropout)}
    for what, rate in rates.items():
        if rate:
            raise AssayError(f"{name}: {what} is {rate}, and random dropout cannot be compared; set it to 0 in the model's config.json")
