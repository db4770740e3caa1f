"""The community's standard, both editions."""

import numpy as np
import pytest

from harness.standards.cann.community import first_edition, second_edition
from harness.standards.cann.thresholds import FORMATS

ONES = np.ones(1000)
FIRST = {"float16": -10, "bfloat16": -7, "float32": -13, "hifloat32": -11, "float8_e4m3fn": -3, "float8_e5m2": -2}


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_mean_error_stays_below_the_threshold(dtype: str) -> None:
    threshold = 2.0 ** FIRST[dtype]
    assert first_edition(ONES * (1 + 0.99 * threshold), ONES, dtype)
    assert not first_edition(ONES * (1 + 1.01 * threshold), ONES, dtype)


def test_the_largest_error_stays_below_ten_times_the_threshold() -> None:
    for factor, passes in ((9.9, True), (10.1, False)):
        actual = ONES.copy()
        actual[3] += factor * 2**-13
        assert first_edition(actual, ONES, "float32") is passes


@pytest.mark.parametrize("rule", [first_edition, second_edition])
def test_special_values_must_be_where_the_golden_s_are(rule) -> None:
    golden = np.array([1.0, np.inf, np.nan, 1e6])
    assert rule(np.array([1.0, np.inf, np.nan, np.inf]), golden, "float16")
    assert not rule(np.array([np.nan, np.inf, np.nan, np.inf]), golden, "float16")
    assert not rule(np.array([1.0, 65504.0, np.nan, np.inf]), golden, "float16")


def test_one_element_in_a_hundred_may_be_outside_the_tolerance_but_not_far() -> None:
    actual = ONES.copy()
    actual[:10] += 5e-3  # beyond 2^-16 + 2^-10, below 1e-2
    assert second_edition(actual, ONES, "float32")
    actual[10] += 5e-3
    assert not second_edition(actual, ONES, "float32")
    actual = ONES.copy()
    actual[0] += 2e-2
    assert not second_edition(actual, ONES, "float32")


def test_for_large_values_the_limit_is_32_units_in_the_last_place() -> None:
    golden = np.full(1000, 2.0**20)
    assert second_edition(golden + 32 * 2.0**-3, golden, "float32")
    far = golden.copy()
    far[0] += 33 * 2.0**-3
    assert not second_edition(far, golden, "float32")


def test_nothing_finite_left_passes() -> None:
    assert first_edition(np.array([np.nan]), np.array([np.nan]), "float32")
    assert second_edition(np.array([]), np.array([]), "float32")
