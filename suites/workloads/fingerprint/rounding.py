"""Probes of casts and additions: which way they round, and whether a product is fused with an addition. Knows no device."""

import numpy as np
import torch

from harness.case import Step
from harness.checks.fingerprint.fact import DIGITS
from harness.checks.fingerprint.rounding import COPIES, QUANTA, fused_operands
from harness.inputs import Inputs
from suites.workloads.fingerprint.probing import cases, probing


def rounding(inputs: Inputs, /) -> Step:
    """Round [copies, 12] values between neighbours of the dtype, by a cast and by an addition; compute a * a - c in one operator."""
    digits = DIGITS[str(inputs.dtype).removeprefix("torch.")]
    unit = 2.0 ** (1 - digits)
    sign, base, part = (np.tile(column, (COPIES, 1)) for column in QUANTA.T)
    if digits == 24:  # of what is wider than float32 every device has integers
        source = inputs.given("integers", torch.from_numpy(sign * (2.0**25 + 4 * (base + part))).to(torch.int32))
    else:
        source = inputs.given("values", torch.from_numpy(sign * (1 + unit * (base + part))).float())
    terms = [
        inputs.given(name, torch.from_numpy(v).to(inputs.dtype)) for name, v in (("a", sign * (1 + unit * base)), ("b", sign * unit * part))
    ]
    a, c, _ = fused_operands(digits)
    # lerp: start + weight * (end - start), of weight a / 64 < 1/2 and end - start = 64 a
    numbers = {"minus_c": -c, "factor": a, "end": 64 * a - c, "weight": a / 64}
    given = {name: inputs.given(name, torch.full((64,), value, dtype=torch.float64).to(inputs.dtype)) for name, value in numbers.items()}
    return probing(
        {
            "cast": lambda: source.to(inputs.dtype),
            "add": lambda: terms[0] + terms[1],
            "addcmul": lambda: torch.addcmul(given["minus_c"], given["factor"], given["factor"]),
            "lerp": lambda: torch.lerp(given["minus_c"], given["end"], given["weight"]),
        }
    )


CASES = cases(rounding, "rounding", "rounding")
