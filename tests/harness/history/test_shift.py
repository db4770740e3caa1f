"""The shift between nights: its size, its calibration, and what it does not fall for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import ttest_ind

from harness.history.shift import higher_by_rank, shift


def autoregression(rng: np.random.Generator, rows: int, nights: int, phi: float) -> np.ndarray:
    values = rng.normal(size=(rows, nights))
    for night in range(1, nights):
        values[:, night] = phi * values[:, night - 1] + (1 - phi * phi) ** 0.5 * values[:, night]
    return values


@pytest.mark.parametrize("phi", [0.0, 0.5])
@pytest.mark.parametrize("window", [1, 3])
def test_the_p_value_keeps_its_level(phi: float, window: int) -> None:
    series = autoregression(np.random.default_rng(1), 1500, 24 + window, phi) * 0.01
    false = np.mean([shift(row[:24], row[24:], phi).p < 0.05 for row in series])
    assert false <= 0.05 + 3 * (0.05 * 0.95 / 1500) ** 0.5


def test_it_agrees_with_students_test_where_that_holds() -> None:
    rng = np.random.default_rng(2)
    before, night = rng.normal(0, 0.01, 9), np.array([0.03])  # of nine nights none is cut off
    assert shift(before, night, 0.0).p == pytest.approx(ttest_ind(night, before, alternative="greater").pvalue, rel=0.3)


def test_the_effect_is_relative_and_within_its_interval() -> None:
    found = shift(np.log(np.linspace(0.99, 1.01, 20)), np.log([1.03, 1.03, 1.03]), 0.0)
    assert found.effect == pytest.approx(0.03, abs=2e-3)
    assert found.low < found.effect < found.high


def test_one_bad_night_of_three_proves_nothing() -> None:
    before = np.random.default_rng(3).normal(0, 0.005, 24)
    assert shift(before, np.array([0.001, 0.2, 0.0]), 0.0).p > 0.3
    assert shift(before, np.array([0.03, 0.2, 0.03]), 0.0).p < 1e-4


def test_bad_nights_before_do_not_hide_a_step() -> None:
    before = np.random.default_rng(4).normal(0, 0.004, 24)
    before[[5, 17]] = 0.3
    assert shift(before, np.array([0.03, 0.03]), 0.0).p < 1e-3


@given(
    arrays.arrays(np.float64, st.integers(4, 30), elements=st.floats(-1, 1)),
    arrays.arrays(np.float64, st.integers(1, 8), elements=st.floats(-1, 1)),
)
def test_it_is_finite_and_does_not_depend_on_the_unit(before: np.ndarray, after: np.ndarray) -> None:
    found, scaled = shift(before, after, 0.3), shift(before + 7, after + 7, 0.3)
    assert 0 <= found.p <= 1
    assert found.low <= found.effect <= found.high
    assert (scaled.effect, scaled.p) == pytest.approx((found.effect, found.p), rel=1e-6, abs=1e-9)


def test_the_rank_test_needs_two_nights_of_fourteen_for_one_percent() -> None:
    before = np.arange(14.0)
    assert higher_by_rank(before, np.array([99.0])) == pytest.approx(1 / 15)
    assert higher_by_rank(before, np.array([99.0, 98.0])) == pytest.approx(1 / 120)
