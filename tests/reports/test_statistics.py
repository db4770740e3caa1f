"""Intervals that mean what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from reports.statistics import _rank, rate, ratio


@given(n=st.integers(6, 400))
def test_ranks_are_those_of_the_binomial(n: int) -> None:
    rank = _rank(n)
    assert binom.cdf(rank - 1, n, 0.5) <= 0.025 < binom.cdf(rank, n, 0.5)


def test_the_interval_of_a_rate_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        estimate = rate(rng.lognormal(size=15), 1.0)
        hits += estimate.low <= 1.0 <= estimate.high
    assert hits / 1000 >= 0.94


def test_few_rounds_have_no_interval_and_decide_nothing() -> None:
    assert rate([1.0] * 5, 1.0).low is None
    assert ratio([1.0] * 5, [2.0] * 9).excludes(1.0) is None


def test_equal_speeds_cannot_be_told_apart_and_different_ones_can() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 0.05, 20), rng.normal(1, 0.05, 20)
    assert ratio(a, b).excludes(1.0) is False
    assert ratio(a, 2 * b).excludes(1.0) is True
    assert ratio(a, 2 * b).value == pytest.approx(2, rel=0.1)
