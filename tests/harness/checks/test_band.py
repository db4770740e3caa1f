"""The band that sound runs span."""

import numpy as np
import pytest

from harness.checks.band import band, quantile

U = 2.0**-24


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_the_quantile_is_that_of_drawn_ratios(n: int) -> None:
    z = np.abs(np.random.default_rng(n).standard_normal((400_000, n + 1)))
    beyond = np.mean(z[:, 0] > quantile(n, 0.02) * z[:, 1:].max(axis=1))
    assert beyond == pytest.approx(0.02, abs=0.001)


def test_one_element_gives_the_quantile_of_cauchys_law() -> None:
    assert quantile(1) == pytest.approx(np.tan(np.pi / 2 * 0.999), rel=1e-3)


def test_more_runs_need_less_widening() -> None:
    found = [quantile(n) for n in range(1, 9)]
    assert found == sorted(found, reverse=True)


def test_the_band_is_the_largest_error_up_to_each_step_widened() -> None:
    golden = np.array([4.0, 3.0, 2.0, 1.0])
    runs = [golden * (1 + np.array([2, 1, 1, 1]) * 1e-4), golden * (1 - np.array([1, 3, 1, 1]) * 1e-4)]
    one = band(golden, runs, U)
    scale = golden + np.sqrt(30 / 4)
    errors = np.array([8e-4, 9e-4, 2e-4, 1e-4]) / scale
    np.testing.assert_allclose(one.measured, [errors[0], errors[1], errors[1], errors[1]], rtol=1e-9)
    np.testing.assert_allclose(one.allowed, 2 * np.array([quantile(2), quantile(3), quantile(4), quantile(4)]) * one.measured, rtol=1e-9)


def test_a_band_is_never_narrower_than_a_few_roundoffs() -> None:
    golden = np.array([4.0, 3.0, 2.0])
    one = band(golden, [golden, golden], U)
    assert one.measured.max() == 0
    np.testing.assert_allclose(one.allowed[2], 2 * quantile(4) * U)


def test_what_is_zero_in_float64_and_in_every_run_must_be_zero() -> None:
    golden = np.stack([np.zeros(3), np.ones(3)], axis=1)
    one = band(golden, [golden, golden], U)
    assert one.first_outside(golden) is None
    wrong = golden.copy()
    wrong[1, 0] = 1e-30
    step, columns = one.first_outside(wrong)
    assert (step, columns.tolist()) == (1, [0])


def test_a_column_that_was_lucky_is_taken_to_be_no_better_than_the_median() -> None:
    golden = np.ones((3, 5))
    run = golden + np.array([0, 1, 2, 3, 40]) * 1e-5
    allowed = band(golden, [run, run], U).allowed[0]
    np.testing.assert_allclose(allowed / allowed[2], [1, 1, 1, 1.5, 20], rtol=1e-9)


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_run_that_is_not_finite_makes_no_narrow_band(lost: float) -> None:
    golden = np.array([3.0, 2.0, 1.0])
    run = golden.copy()
    run[1] = lost
    one = band(golden, [golden, run], U)
    assert np.isfinite(one.allowed[0])
    assert np.isinf(one.allowed[1:]).all()
    assert one.blunt_from() == 1


def test_a_norm_that_has_fallen_is_held_to_its_own_size() -> None:
    """Half of what is left is wrong, and that is a hundredth of what was there at first."""
    golden = np.array([1.0, 0.1, 0.01, 0.01])
    runs = [golden * (1 + 1e-2), golden * (1 - 1e-2)]
    wrong = golden * np.array([1, 1, 1, 0.5])
    assert band(golden, runs, U, norm=True).first_outside(wrong)[0] == 3
    assert band(golden, runs, U).first_outside(wrong) is None


def test_a_norm_that_is_zero_at_times_is_relative_to_its_other_steps() -> None:
    golden = np.array([[1.0], [0.0], [1.0]])
    one = band(golden, [golden, golden], U, norm=True)
    assert one.first_outside(golden) is None
    assert one.first_outside(golden + 1e-3)[0] == 0
