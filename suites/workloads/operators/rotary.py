"""Rotary position embedding as the llama family applies it, far from position 0 as well. Knows no device."""

from decimal import Decimal, localcontext

import numpy as np
import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import rotary as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype


def rotary(inputs: Inputs, /, *, batch: int, heads: int, start: int, length: int, width: int, base: int) -> Step:
    """Turn [batch, heads, length, width] at positions `start` onward; returns `out`, `grad_states`.

    The angles are an input in float32, whatever the case's dtype, as models keep them; cosines and sines are the device's.
    """
    operator = oracle.rotary if inputs.golden else half_split_rotary
    angles = inputs.given("angles", torch.from_numpy(rotary_angles(start, length, width, base)))
    operands = {"states": inputs.normal("states", (batch, heads, length, width))}
    cotangent = inputs.normal("cotangent", (batch, heads, length, width))
    return Step(differentiate(lambda states: operator(states, angles), operands, cotangent))


def half_split_rotary(states: Tensor, angles: Tensor) -> Tensor:
    """Turn `states` [..., length, width] by `angles` [length, width / 2], line by line as transformers' llama does."""
    full = torch.cat([angles, angles], dim=-1)
    cosine, sine = full.cos().to(states.dtype), full.sin().to(states.dtype)
    first, second = states.chunk(2, dim=-1)
    return states * cosine + torch.cat([-second, first], dim=-1) * sine


def rotary_angles(start: int, length: int, width: int, base: int) -> np.ndarray:
    """Return `position * base^(-2i / width)` as float32 [length, width / 2], in radians.

    Powers are taken in decimal arithmetic: a libm's last bit would change the inputs from one machine to the next.
    """
    with localcontext(prec=40):
        powers = [float(Decimal(base) ** (Decimal(-2 * i) / Decimal(width))) for i in range(width // 2)]
    positions = np.arange(start, start + length, dtype=np.float32)
    return np.outer(positions, np.array(powers, dtype=np.float32))


CASES = in_each_dtype(
    rotary,
    {
        "rotary": {"batch": 1, "heads": 9, "start": 0, "length": 127, "width": 64, "base": 10_000},
        "rotary-far": {"batch": 1, "heads": 3, "start": 100_000, "length": 33, "width": 128, "base": 500_000},
    },
)
