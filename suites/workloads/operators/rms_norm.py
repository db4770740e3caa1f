"""Root-mean-square normalisation with a weight. Knows no device."""

import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import rms_norm as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype


def rms_norm(inputs: Inputs, /, *, tokens: int, width: int, eps: float) -> Step:
    """Normalise [tokens, width]; returns `out`, `grad_states`, `grad_weight`."""
    operator = oracle.rms_norm if inputs.golden else F.rms_norm

    def normalise(states: Tensor, weight: Tensor) -> Tensor:
        return operator(states, (width,), weight, eps)

    operands = {
        "states": inputs.normal("states", (tokens, width), scale=3.0),
        "weight": inputs.normal("weight", (width,), scale=0.25, mean=1.0),
    }
    cotangent = inputs.normal("cotangent", (tokens, width))
    return Step(differentiate(normalise, operands, cotangent))


CASES = in_each_dtype(
    rms_norm,
    {
        "rms_norm": {"tokens": 127, "width": 576, "eps": 1e-5},
        "rms_norm-odd": {"tokens": 33, "width": 129, "eps": 1e-5},
    },
)
