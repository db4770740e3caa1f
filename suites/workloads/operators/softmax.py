"""Softmax over a vocabulary, and over an inner dimension of odd size. Knows no device."""

import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import softmax as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype


def softmax(inputs: Inputs, /, *, planes: int, rows: int, columns: int, dim: int) -> Step:
    """Normalise [planes, rows, columns] along `dim`; returns `out`, `grad_scores`."""
    operator = oracle.softmax if inputs.golden else F.softmax

    def normalise(scores: Tensor) -> Tensor:
        return operator(scores, dim=dim)

    operands = {"scores": inputs.normal("scores", (planes, rows, columns), scale=3.0)}
    cotangent = inputs.normal("cotangent", (planes, rows, columns))
    return Step(differentiate(normalise, operands, cotangent))


CASES = in_each_dtype(
    softmax,
    {
        "softmax": {"planes": 1, "rows": 3, "columns": 49152, "dim": 2},
        "softmax-strided": {"planes": 3, "rows": 129, "columns": 127, "dim": 1},
    },
)
