"""Intervals that mean what they say."""

import numpy as np
import pytest

from reports.statistics import rate, ratio


def test_the_interval_of_a_rate_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        estimate = rate(rng.lognormal(size=15), 1.0)
        hits += estimate.low <= 1.0 <= estimate.high
    assert hits / 300 >= 0.93


def test_few_rounds_have_no_interval_and_decide_nothing() -> None:
    assert rate([1.0] * 5, 1.0).low is None
    assert ratio([1.0] * 5, [2.0] * 9).excludes(1.0) is None


def test_equal_speeds_cannot_be_told_apart_and_different_ones_can() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 0.05, 20), rng.normal(1, 0.05, 20)
    assert ratio(a, b).excludes(1.0) is False
    assert ratio(a, 2 * b).excludes(1.0) is True
    assert ratio(a, 2 * b).value == pytest.approx(2, rel=0.1)
