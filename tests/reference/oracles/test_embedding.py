"""Tests of the look-up: rows come out as they are, and gradients add up over all uses."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.embedding import embedding
from tests.reference.oracles.drawing import drawn, leaf

some_ids = st.lists(st.integers(0, 4), min_size=1, max_size=12)


@settings(deadline=None, max_examples=30)
@given(some_ids)
def test_rows_come_out_as_they_are(ids: list[int]) -> None:
    table = drawn(5, 3)
    assert torch.equal(embedding(torch.tensor(ids), table), table[ids])


@settings(deadline=None, max_examples=30)
@given(some_ids)
def test_the_gradient_of_a_row_is_the_sum_over_its_uses(ids: list[int]) -> None:
    table, cotangent = leaf(5, 3), drawn(len(ids), 3, seed=1)
    (gradient,) = torch.autograd.grad(embedding(torch.tensor(ids), table), table, cotangent)
    expected = torch.zeros(5, 3, dtype=torch.float64)
    for row, piece in zip(ids, cotangent, strict=True):
        expected[row] += piece
    torch.testing.assert_close(gradient, expected, rtol=1e-14, atol=1e-15)


def test_ids_of_any_shape_keep_it() -> None:
    assert embedding(torch.zeros(2, 3, dtype=torch.int64), drawn(5, 4)).shape == (2, 3, 4)
