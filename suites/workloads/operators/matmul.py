"""Matrix product, plain and batched with odd sizes. Knows no device."""

import torch

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import matmul as oracle
from suites.workloads.costs import costed
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype


def matmul(inputs: Inputs, /, *, batch: int, rows: int, inner: int, columns: int) -> Step:
    """Multiply [batch, rows, inner] by [batch, inner, columns]; returns `out`, `grad_left`, `grad_right`."""
    operator = oracle.matmul if inputs.golden else torch.matmul
    scale = inner**-0.25  # products of two of these sum to about 1
    operands = {
        "left": inputs.normal("left", (batch, rows, inner), scale=scale),
        "right": inputs.normal("right", (batch, inner, columns), scale=scale),
    }
    cotangent = inputs.normal("cotangent", (batch, rows, columns))
    step = Step(differentiate(lambda left, right: operator(left, right), operands, cotangent))
    # three products; each operand, the cotangent and each result once
    numbers = 2 * (rows * inner + inner * columns + rows * columns)
    return costed(step, lambda: 6 * batch * rows * inner * columns, lambda: batch * numbers * inputs.dtype.itemsize)


CASES = in_each_dtype(
    matmul,
    {
        "matmul": {"batch": 1, "rows": 128, "inner": 576, "columns": 192},
        "matmul-odd": {"batch": 3, "rows": 129, "inner": 127, "columns": 33},  # no size is a multiple of a tile
    },
)
