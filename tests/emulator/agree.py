"""The same call on the CPU and on the emulated NPU: results must be the same, bit for bit, where they come from the same arithmetic."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


def on_npu(value: Any) -> Any:
    """Return the value with every tensor in it copied to npu:0."""
    return tree_map(lambda x: x.detach().npu().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x, value)


def agree(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Assert that `function` gives the same on the NPU as on the CPU (bits, shape, dtype; NaN equals NaN); return the CPU's result."""
    moved, moved_options = on_npu(arguments), on_npu(options)
    expected = function(*arguments, **options)
    found = function(*moved, **moved_options)
    same(found, expected)
    return expected


def same(found: Any, expected: Any) -> None:
    """Assert that results are equal and that the found ones lie on the NPU."""
    if isinstance(expected, Tensor):
        assert found.device.type == "npu"
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0, equal_nan=True)
    elif isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert found == expected
