"""Tests of softmax and log-sum-exp: known values, their laws, and torch's float64."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.softmax import log_sum_exp, softmax
from tests.reference.oracles.drawing import drawn, leaf

rows = st.lists(st.floats(-700, 700), min_size=1, max_size=8).map(lambda row: torch.tensor([row], dtype=torch.float64))


def test_of_logarithms_is_their_share() -> None:
    scores = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64).log()
    torch.testing.assert_close(softmax(scores, 0), torch.tensor([0.125, 0.25, 0.625], dtype=torch.float64), rtol=1e-15, atol=0)
    assert math.isclose(float(log_sum_exp(scores, 0)), math.log(8), rel_tol=1e-15)


@settings(deadline=None, max_examples=50)
@given(rows)
def test_sums_to_one(scores: torch.Tensor) -> None:
    assert math.isclose(float(softmax(scores, 1).sum()), 1.0, rel_tol=1e-14)


@settings(deadline=None, max_examples=50)
@given(rows, st.integers(-1000, 1000))
def test_a_shift_changes_nothing_but_the_log_sum(scores: torch.Tensor, shift: int) -> None:
    torch.testing.assert_close(softmax(scores + shift, 1), softmax(scores, 1), rtol=1e-11, atol=1e-300)
    torch.testing.assert_close(log_sum_exp(scores + shift, 1), log_sum_exp(scores, 1) + shift, rtol=1e-13, atol=1e-11)


def test_is_torchs_in_float64_along_any_dimension() -> None:
    scores = drawn(3, 4, 5, scale=10.0)
    for dim in range(3):
        torch.testing.assert_close(softmax(scores, dim), torch.softmax(scores, dim), rtol=1e-13, atol=0)
        torch.testing.assert_close(log_sum_exp(scores, dim), torch.logsumexp(scores, dim), rtol=1e-13, atol=0)


def test_minus_infinity_weighs_nothing_and_nothing_else_weighs_zero() -> None:
    scores = torch.tensor([[0.0, -math.inf, 0.0], [-math.inf] * 3], dtype=torch.float64, requires_grad=True)
    weights = softmax(scores, 1)
    (gradient,) = torch.autograd.grad(weights.sum(), scores)
    assert weights.tolist() == [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]
    assert torch.isfinite(gradient).all()


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x: softmax(x, 1), (leaf(3, 5),))
    assert torch.autograd.gradcheck(lambda x: log_sum_exp(x, 0), (leaf(3, 5),))
