"""Tests of top-k routing: torch's float64, ties, the sum of the weights, and that the softmax's denominator cancels."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.routing import route
from tests.reference.oracles.drawing import drawn, leaf


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 7))
def test_is_torchs_in_float64(seed: int, k: int) -> None:
    logits = drawn(5, 7, seed=seed)
    experts, weights, scores = route(logits, k)
    best, order = torch.topk(torch.softmax(logits, 1), k)
    assert torch.equal(experts, order)
    torch.testing.assert_close(weights, best / best.sum(1, keepdim=True), rtol=1e-13, atol=0)
    torch.testing.assert_close(scores, torch.softmax(logits, 1), rtol=1e-13, atol=0)


def test_of_equal_scores_the_lowest_index_is_first() -> None:
    assert route(torch.tensor([[1.0, 3.0, 3.0, 3.0, 2.0]], dtype=torch.float64), 4)[0].tolist() == [[1, 2, 3, 4]]


def test_weights_are_the_softmax_of_the_chosen_logits() -> None:
    logits = drawn(6, 9, scale=3.0)
    experts, weights, _ = route(logits, 3)
    torch.testing.assert_close(weights, torch.softmax(logits.gather(1, experts), 1), rtol=1e-13, atol=0)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x: route(x, 2)[1:], (leaf(3, 5, scale=3.0),))
