"""Linear layer with bias, at the sizes of a small language model and of a scalar head. Knows no device."""

import torch.nn.functional as F

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import matmul as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype


def linear(inputs: Inputs, /, *, tokens: int, inputs_width: int, outputs_width: int) -> Step:
    """Apply a layer to [tokens, inputs_width]; returns `out`, `grad_states`, `grad_weight`, `grad_bias`."""
    operator = oracle.linear if inputs.golden else F.linear
    operands = {
        "states": inputs.normal("states", (tokens, inputs_width)),
        "weight": inputs.normal("weight", (outputs_width, inputs_width), scale=inputs_width**-0.5),
        "bias": inputs.normal("bias", (outputs_width,)),
    }
    cotangent = inputs.normal("cotangent", (tokens, outputs_width))
    return Step(differentiate(lambda states, weight, bias: operator(states, weight, bias), operands, cotangent))


CASES = in_each_dtype(
    linear,
    {
        "linear": {"tokens": 127, "inputs_width": 576, "outputs_width": 576},
        "linear-scalar_head": {"tokens": 127, "inputs_width": 577, "outputs_width": 1},  # a reward or value head
    },
)
