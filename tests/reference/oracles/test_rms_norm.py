"""Tests of RMS normalisation: a value by hand, its scale, torch's float64, and its refusal."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.rms_norm import rms_norm
from tests.reference.oracles.drawing import drawn, leaf


def test_a_row_known_by_hand() -> None:
    row, weight = torch.tensor([[1.0, -7.0]], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(rms_norm(row, (2,), weight, 0.0), torch.tensor([[0.2, -2.8]], dtype=torch.float64), rtol=1e-15, atol=0)


@settings(deadline=None, max_examples=30)
@given(st.floats(1e-3, 1e3))
def test_the_size_of_a_row_does_not_matter_without_eps(size: float) -> None:
    rows, weight = drawn(3, 5), drawn(5, seed=1)
    torch.testing.assert_close(rms_norm(size * rows, (5,), weight, 0.0), rms_norm(rows, (5,), weight, 0.0), rtol=1e-13, atol=1e-15)


def test_is_torchs_in_float64_with_a_large_eps() -> None:
    rows, weight = drawn(2, 3, 7), drawn(7, seed=1)
    expected = torch.nn.functional.rms_norm(rows, (7,), weight, 0.5)
    torch.testing.assert_close(rms_norm(rows, (7,), weight, 0.5), expected, rtol=1e-13, atol=1e-15)


def test_more_than_the_last_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="normalized_shape"):
        rms_norm(drawn(2, 3), (2, 3), drawn(2, 3), 1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, (4,), w, 1e-5), (leaf(3, 4), leaf(4, seed=1)))
