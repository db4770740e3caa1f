"""Where a narrower dtype overflows."""

import numpy as np
import pytest
import torch

from harness.checks.rounding import OVERFLOW, representable


@pytest.mark.parametrize("dtype", OVERFLOW)
def test_overflow_begins_where_torch_rounds_to_infinity(dtype: str) -> None:
    edge = OVERFLOW[dtype]
    values = np.array([edge * (1 - 2.0**-20), edge, -edge])
    rounded = torch.from_numpy(values).to(getattr(torch, dtype)).double().numpy()
    assert np.isinf(rounded).tolist() == np.isinf(representable(values, dtype)).tolist() == [False, True, True]


def test_a_golden_within_range_is_returned_itself() -> None:
    golden = np.array([1.0, np.nan, np.inf])
    assert representable(golden, "float32") is golden
