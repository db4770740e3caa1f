"""assert_close as torch has it, and cosines."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.standards.likeness import CLOSE, above, assert_close, cosines
from tests.harness.standards.build import segments

floats = st.one_of(st.floats(-10, 10), st.sampled_from([np.nan, np.inf, -np.inf, 0.0]))


@given(st.lists(st.tuples(floats, st.floats(-1e-5, 1e-5)), min_size=1, max_size=20), st.sampled_from(sorted(CLOSE)))
def test_it_says_what_torch_says(pairs: list[tuple[float, float]], dtype: str) -> None:
    reference = torch.tensor([p[0] for p in pairs], dtype=torch.float64).to(getattr(torch, dtype))
    device = (reference.double() * (1 + torch.tensor([p[1] for p in pairs], dtype=torch.float64))).to(reference.dtype)
    try:
        torch.testing.assert_close(device, reference)
        expected = "pass"
    except AssertionError:
        expected = "fail"
    ours, theirs = device.double().numpy(), reference.double().numpy()
    assert assert_close(segments(ours, theirs, theirs), dtype)[0].says == expected


def test_it_counts_what_mismatches() -> None:
    assert assert_close(segments([1, 2, 3.1], [1, 2, 3], [1, 2, 3]), "float32")[0].why == "1 of 3 elements mismatch"


def test_cosines_by_hand() -> None:
    assert cosines(segments([1, 0], [1, 1], [0, 0])) == [pytest.approx(np.sqrt(0.5))]
    assert cosines(segments([0, 0], [0, 0], [0, 0])) == [1.0]
    assert cosines(segments([0, 0], [1, 0], [0, 0])) == [0.0]


def test_a_nan_is_never_alike_and_a_scaled_output_always() -> None:
    assert above(("o",), cosines(segments([np.nan, 1], [1, 1], [1, 1])), 0.99)[0].says == "fail"
    assert above(("o",), cosines(segments([500, 500], [1, 1], [1, 1])), 0.999)[0].says == "pass"
