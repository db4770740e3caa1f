"""Tests of the gated activation: values by hand, a symmetry, torch's float64."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.swiglu import swiglu
from tests.reference.oracles.drawing import drawn, leaf


def test_values_known_by_hand() -> None:
    gate = torch.tensor([0.0, math.log(3.0)], dtype=torch.float64)
    up = torch.tensor([5.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(swiglu(gate, up), torch.tensor([0.0, 3 * math.log(3.0)], dtype=torch.float64), rtol=1e-15, atol=0)


@settings(deadline=None, max_examples=50)
@given(st.floats(-600, 600))
def test_both_flanks_differ_by_the_gate(value: float) -> None:
    gate, one = torch.tensor([value], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    assert math.isclose(float(swiglu(gate, one) - swiglu(-gate, one)), value, rel_tol=1e-14, abs_tol=1e-15)


def test_is_torchs_in_float64() -> None:
    gate, up = drawn(4, 5, scale=5.0), drawn(4, 5, seed=1)
    torch.testing.assert_close(swiglu(gate, up), torch.nn.functional.silu(gate) * up, rtol=1e-13, atol=0)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(swiglu, (leaf(3, 4), leaf(3, 4, seed=1)))
