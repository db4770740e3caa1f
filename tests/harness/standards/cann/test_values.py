"""The values of operands: distributions, outliers, domains."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.standards.cann.values import draw_uniform, values, with_outliers

MANY = 20_000


@pytest.mark.parametrize(("distribution", "half"), [("uniform", 5.0), ("tiny", 1e-3)])
def test_uniform_values_fill_their_range_evenly(distribution: str, half: float) -> None:
    found = values(0, "x", MANY, distribution) / half
    assert found.min() >= -1
    assert found.max() < 1
    share, _ = np.histogram(found, bins=10, range=(-1, 1))
    assert np.abs(share / MANY - 0.1).max() < 0.01


@pytest.mark.parametrize(("distribution", "means", "deviations"), [("normal", (-100, 100), (1, 25)), ("mild", (-5, 5), (0.1, 2))])
def test_normal_values_draw_their_mean_and_deviation_anew(distribution: str, means, deviations) -> None:
    drawn = [values(0, f"x{i}", 2000, distribution) for i in range(60)]
    found = np.array([[x.mean(), x.std()] for x in drawn])
    slack = deviations[1] / 10
    assert means[0] - slack <= found[:, 0].min() < means[0] / 2
    assert means[1] / 2 < found[:, 0].max() <= means[1] + slack
    assert deviations[0] * 0.9 <= found[:, 1].min() < deviations[1] / 4
    assert deviations[1] * 0.7 < found[:, 1].max() <= deviations[1] * 1.1


@given(st.integers(1, 5000), st.integers(0, 100))
def test_one_in_a_thousand_and_at_least_one_is_an_outlier(count: int, seed: int) -> None:
    base = 1.0 + np.arange(count)
    noisy = with_outliers(seed, "x", base)
    changed = noisy != base
    assert np.count_nonzero(changed) == max(1, count // 1000)
    assert np.array_equal(noisy[changed], 1000 * base[changed])


def test_outliers_lie_anywhere_and_of_nothing_there_is_none() -> None:
    base = np.ones(100)
    places = {int(np.flatnonzero(with_outliers(seed, "x", base) > 1)[0]) for seed in range(300)}
    assert len(places) > 80
    assert values(0, "x", 0, "outliers").size == 0


def test_outliers_are_put_into_either_base() -> None:
    largest = [np.abs(values(0, f"x{i}", 500, "outliers")).max() for i in range(40)]
    assert min(largest) <= 5000 < max(largest)


def test_outliers_that_leave_the_domain_are_drawn_anew_and_in_the_end_confined() -> None:
    found = [values(0, f"x{i}", 100, "outliers", -4000.0, 4000.0) for i in range(40)]
    assert all(np.abs(x).max() <= 4000 for x in found)
    assert sum(np.abs(x).max() == 4000 for x in found) < 5  # confined only where no draw fits
    assert np.abs(values(0, "x", 100, "outliers", -1.0, 1.0)).max() == 1.0


def test_other_distributions_are_confined() -> None:
    assert np.abs(values(0, "x", 1000, "normal", -3.0, 3.0)).max() <= 3


def test_the_bits_are_the_same_everywhere() -> None:
    digest = hashlib.sha256()
    for distribution in ("uniform", "tiny", "normal", "outliers", "mild"):
        digest.update(values(7, "x", 257, distribution).tobytes())
    assert digest.hexdigest()[:16] == "e869711bdacd7e4d"


def test_seeds_and_names_draw_other_values() -> None:
    assert not np.array_equal(draw_uniform(0, "x", 10, 0, 1), draw_uniform(1, "x", 10, 0, 1))
    assert not np.array_equal(draw_uniform(0, "x", 10, 0, 1), draw_uniform(0, "y", 10, 0, 1))
