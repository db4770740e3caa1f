"""Casts between the floating dtypes, there and back: each rounds once, to nearest. Knows no device."""

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from suites.workloads.operators.dtypes import in_each_dtype

NARROWER = {"float32": ("bfloat16", "float16"), "bfloat16": ("float16",), "float16": ("bfloat16",)}


def cast(inputs: Inputs, /, *, rows: int, columns: int) -> Step:
    """Cast to each other half precision; returns `to_<dtype>`, and `back_from_<dtype>` in the case's dtype. The golden rounds nothing."""
    x = inputs.normal("x", (rows, columns))
    others = NARROWER[str(inputs.dtype).removeprefix("torch.")]

    def call() -> dict[str, Tensor]:
        if inputs.golden:
            return {f"{way}_{name}": x.clone() for name in others for way in ("to", "back_from")}
        cast = {name: x.to(getattr(torch, name)) for name in others}
        return {f"to_{name}": value for name, value in cast.items()} | {
            f"back_from_{name}": value.to(inputs.dtype) for name, value in cast.items()
        }

    return Step(call)


CASES = in_each_dtype(cast, {"cast": {"rows": 65, "columns": 129}})
