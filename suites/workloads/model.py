"""A language model inside a workload: placed on the device, and evaluated in the arithmetic that is asked for. Knows no task."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from harness.errors import AssayError
from harness.inputs import Inputs
from suites.workloads.float64 import Float64

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def arithmetic(inputs: Inputs, mixed: bool = False) -> AbstractContextManager[object]:
    """Return the context in which a model runs forward: float64 throughout for the golden; with `mixed`, autocast to a narrow dtype.

    Without `mixed` the weights have the case's dtype, and the model's own code decides.
    """
    if inputs.golden:
        return Float64()
    if mixed and inputs.dtype is not torch.float32:
        return torch.autocast(device_type=inputs.device.type, dtype=inputs.dtype)
    return nullcontext()


def place(
    inputs: Inputs, model: PreTrainedModel, dtype: torch.dtype | None = None, name: str = "weights", moved_by: float | None = None,
) -> PreTrainedModel:  # fmt: skip
    """Put a host model on the device as the input `name`, rounded to `dtype` (default: the case's); the object is reused.

    `moved_by` is how far an evaluation with moved inputs moves each weight, relative: by default one roundoff of the case's dtype, in which
    the arithmetic reads weights, however wide they are kept.
    """
    if inputs.golden and hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # PyTorch multiplies no groups of float64 matrices
    placed = inputs.module(name, model, dtype, torch.finfo(inputs.dtype).eps / 2 if moved_by is None else moved_by)
    return cast("PreTrainedModel", placed)


def refuse_dropout(model: PreTrainedModel, name: str) -> None:
    """Raise AssayError where training would drop elements at random: devices draw differently, so nothing could be compared."""
    rates = {key: value for key, value in model.config.to_dict().items() if "drop" in key and isinstance(value, float)}
    rates |= {path: module.p for path, module in model.named_modules() if isinstance(module, nn.Dropout)}
    for what, rate in rates.items():
        if rate:
            raise AssayError(f"{name}: {what} is {rate}, and random dropout cannot be compared; set it to 0 in the model's config.json")
