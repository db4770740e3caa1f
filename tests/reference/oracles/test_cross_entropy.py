"""Tests of cross-entropy: uniform logits, ignored labels, torch's float64, and its refusal."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.cross_entropy import cross_entropy
from tests.reference.oracles.drawing import drawn, leaf

labels_of_five = st.lists(st.sampled_from([-100, 0, 1, 2, 3]), min_size=1, max_size=6).map(torch.tensor)


def test_equal_logits_cost_the_logarithm_of_their_number() -> None:
    assert math.isclose(float(cross_entropy(torch.zeros(2, 10, dtype=torch.float64), torch.tensor([3, 9]))), math.log(10), rel_tol=1e-15)


@settings(deadline=None, max_examples=40)
@given(labels_of_five, st.sampled_from(["none", "mean"]))
def test_is_torchs_in_float64(labels: torch.Tensor, reduction: str) -> None:
    logits = drawn(len(labels), 4, scale=5.0)
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction=reduction)
    torch.testing.assert_close(cross_entropy(logits, labels, reduction=reduction), expected, rtol=1e-12, atol=1e-14, equal_nan=True)


@settings(deadline=None, max_examples=40)
@given(labels_of_five)
def test_ignored_rows_cost_nothing_and_get_no_gradient(labels: torch.Tensor) -> None:
    logits = leaf(len(labels), 4)
    losses = cross_entropy(logits, labels, reduction="none")
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert torch.equal(losses == 0, labels == -100)
    assert torch.equal(gradient.abs().sum(1) == 0, labels == -100)


def test_gradient_is_the_softmax_less_the_label() -> None:
    logits, labels = leaf(3, 4), torch.tensor([2, 0, 3])
    (gradient,) = torch.autograd.grad(cross_entropy(logits, labels), logits)
    expected = (torch.softmax(logits.detach(), 1) - torch.nn.functional.one_hot(labels, 4)) / 3
    torch.testing.assert_close(gradient, expected, rtol=1e-13, atol=1e-15)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="'sum'"):
        cross_entropy(drawn(2, 3), torch.tensor([0, 1]), reduction="sum")
