"""Which common operators does a device have, which does it refuse, and has it float64? Knows no device."""

import warnings

import torch
from torch import Tensor

from harness.case import Step
from harness.devices.refusals import says_out_of_memory
from harness.environment import host_may_stand_in
from harness.inputs import Inputs
from suites.workloads.fingerprint.common_operators import Operator, common_operators
from suites.workloads.fingerprint.probing import cases


def support(inputs: Inputs, /) -> Step:
    """Call each operator on one [8, 8] matrix; a refusal is an answer, kept in the device's words.

    Returns `double`: 1 + 2^-40 - 1, computed after `.double()`, or the matrix as `out` where that is refused.
    """
    order = torch.arange(64) * 37 % 64
    values = inputs.given("values", (order / 80 + 0.1).reshape(8, 8).to(inputs.dtype))
    small = inputs.given("small", torch.full((8,), 2.0**-20).to(inputs.dtype))
    said: dict[str, str] = {}

    def call() -> dict[str, Tensor]:
        for name, operator in common_operators().items():
            said[name] = refusal(operator, values)
        if said["float64"]:
            return {"out": values * 1}
        return {"double": small.double() * small.double() + 1 - 1}

    stands_in = inputs.device.type == "npu" and host_may_stand_in()
    return Step(call, details=lambda: {"operators": said, "host_may_stand_in": stands_in})


def refusal(operator: Operator, values: Tensor) -> str:
    """Return the words in which an operator refuses; none if it does not. Raises RuntimeError for lack of memory."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types that are experimental, of slow paths: not what is asked
            result = operator(values)
        first = result[0] if isinstance(result, tuple) else result
        if isinstance(first, Tensor):
            first.to("cpu")  # here: a device that works behind its host's back raises when it is waited for
    except RuntimeError as error:
        if says_out_of_memory(error):
            raise
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""


CASES = cases(support, "support", "support")
