"""Tests of rotary embedding: a quarter turn, norms, relative position, and the layout of the llama family."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.rotary import rotary
from tests.reference.oracles.drawing import drawn, leaf


def turned(states: torch.Tensor, position: int) -> torch.Tensor:
    """Turn one vector [width] to a position, with the usual frequencies."""
    width = states.shape[-1]
    frequencies = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return rotary(states[None], position * frequencies[None])[0]


def test_a_quarter_turn_pairs_the_halves() -> None:
    states = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    out = rotary(states, torch.full((1, 2), math.pi / 2, dtype=torch.float64))
    torch.testing.assert_close(out, torch.tensor([[-3.0, -4.0, 1.0, 2.0]], dtype=torch.float64), rtol=1e-15, atol=1e-15)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_the_norm_stays(position: int) -> None:
    states = drawn(8)
    assert math.isclose(float(turned(states, position).norm()), float(states.norm()), rel_tol=1e-14)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_product_depends_on_the_distance_only(first: int, second: int, shift: int) -> None:
    query, key = drawn(8, seed=1), drawn(8, seed=2)
    here = turned(query, first) @ turned(key, second)
    there = turned(query, first + shift) @ turned(key, second + shift)
    assert math.isclose(float(here), float(there), rel_tol=1e-9, abs_tol=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x: rotary(x, drawn(3, 2, seed=1)), (leaf(2, 3, 4),))
