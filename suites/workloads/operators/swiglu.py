"""The gated activation of SwiGLU, between its three products. Knows no device."""

import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import swiglu as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype


def swiglu(inputs: Inputs, /, *, tokens: int, width: int) -> Step:
    """Gate [tokens, width]; returns `out`, `grad_gate`, `grad_up`."""
    operator = oracle.swiglu if inputs.golden else silu_times
    operands = {
        "gate": inputs.normal("gate", (tokens, width), scale=3.0),  # wide enough to reach both flanks of the sigmoid
        "up": inputs.normal("up", (tokens, width)),
    }
    cotangent = inputs.normal("cotangent", (tokens, width))
    return Step(differentiate(operator, operands, cotangent))


def silu_times(gate: Tensor, up: Tensor) -> Tensor:
    """Return silu(gate) * up, as models write it."""
    return F.silu(gate) * up


CASES = in_each_dtype(swiglu, {"swiglu": {"tokens": 33, "width": 1536}})
