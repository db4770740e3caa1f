"""Draws the operands of the standard's cases, every seed of a re-check at once. Knows no operator's arithmetic."""

import math

import numpy as np
import torch
from torch import Tensor

from harness.inputs import Inputs
from harness.standards.cann.exact import Kind
from harness.standards.cann.values import values
from suites.workloads.operators.standard.table import Operator, Shape

_INTEGERS = 2.0**24  # integer operands stay where float64, and the sum of two, is exact in int32


def drawn(inputs: Inputs, operator: Operator, name: str, shape: Shape, distribution: str, seeds: int) -> dict[str, Tensor]:
    """Return one case's operands on the device, each [seeds, *its shape], rounded to the case's dtype (int32 for integer operators)."""
    integer = operator.kind is Kind.INTEGER
    limit = _INTEGERS if integer else torch.finfo(inputs.dtype).max
    found = {}
    for operand, size in operator.operands(shape).items():
        stream, count = f"{name}.{operand}", math.prod(size)
        rows = [values(inputs.seed, f"{stream} seed {k}", count, distribution, -limit, limit) for k in range(seeds)]
        host = torch.from_numpy(np.stack(rows)).reshape(seeds, *size)
        found[operand] = inputs.given(stream, host.round().to(torch.int32) if integer else host.to(inputs.dtype))
    return found


def filled(inputs: Inputs, operator: Operator, name: str, shape: Shape, fill: np.ndarray) -> dict[str, Tensor]:
    """Return operands [1, *their shape] whose elements are those of `fill`, over and over. Integer operators have no such case."""
    return {
        operand: inputs.given(f"{name}.{operand}", torch.from_numpy(np.resize(fill, math.prod(size))).reshape(1, *size).to(inputs.dtype))
        for operand, size in operator.operands(shape).items()
    }


def poison(inputs: Inputs, elements: int) -> None:
    """Fill device memory with NaN and give it back to the framework's allocator, so that reading what nobody wrote shows (3, note 2)."""
    kind = torch.float32 if inputs.golden else inputs.dtype
    blocks = [torch.full((elements,), math.nan, dtype=kind, device=inputs.device) for _ in range(4)]
    blocks.clear()
