"""Tests of the product and the linear layer against sums written out and torch's float64."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.matmul import linear, matmul
from tests.reference.oracles.drawing import drawn, leaf

sizes = st.integers(1, 6)


def test_a_product_known_by_hand() -> None:
    left = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    right = torch.tensor([[5.0], [6.0]], dtype=torch.float64)
    assert matmul(left, right).tolist() == [[17.0], [39.0]]


@settings(deadline=None, max_examples=30)
@given(sizes, sizes, sizes, sizes)
def test_every_element_is_the_sum_over_the_shared_index(batch: int, rows: int, inner: int, columns: int) -> None:
    left, right = drawn(batch, rows, inner, seed=1), drawn(batch, inner, columns, seed=2)
    expected = (left[..., :, :, None] * right[..., None, :, :]).sum(-2)
    torch.testing.assert_close(matmul(left, right), expected, rtol=1e-13, atol=1e-13)


def test_linear_is_torchs_in_float64() -> None:
    states, weight, bias = drawn(2, 5, 7), drawn(3, 7, seed=1), drawn(3, seed=2)
    torch.testing.assert_close(linear(states, weight, bias), torch.nn.functional.linear(states, weight, bias), rtol=1e-13, atol=1e-13)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(matmul, (leaf(2, 3, 4), leaf(2, 4, 5, seed=1)))
    assert torch.autograd.gradcheck(linear, (leaf(3, 4), leaf(2, 4, seed=1), leaf(2, seed=2)))
