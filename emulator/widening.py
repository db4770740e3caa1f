"""16-bit floating point in float32: for operators that PyTorch's CPU does not have in 16 bits and the device has. Knows no operator."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_NARROW = (torch.float16, torch.bfloat16)


def widened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` given float32 for every tensor of 16-bit floating point; its results take the outputs' dtype when written."""
    return lambda *arguments: function(*[_wide(argument) for argument in arguments])


def _wide(argument: Any) -> Any:
    return argument.float() if isinstance(argument, Tensor) and argument.dtype in _NARROW else argument
