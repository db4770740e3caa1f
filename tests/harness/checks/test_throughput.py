"""Rates with honest intervals."""

import numpy as np
import pytest

from harness.checks.throughput import Throughput, median_interval
from harness.verdict import Outcome
from tests.harness.checks.build import evidence


def test_a_rate_has_its_interval_and_the_reference_beside_it() -> None:
    seconds = (0.5, 0.4, 0.6, 0.5, 0.5, 0.45, 0.55)
    found = Throughput()(evidence({}, {}, None, seconds=seconds, work=100.0, unit="tokens"))[0]
    assert found.measured == pytest.approx(200)
    assert found.low <= 200 <= found.high
    assert found.unit == "tokens/s"
    assert found.bound is None


def test_few_rounds_carry_no_interval() -> None:
    assert median_interval((1.0, 2.0, 3.0, 4.0, 5.0))[1:] == (None, None)


def test_nothing_timed_is_mistrusted() -> None:
    assert Throughput()(evidence({}, {}, None))[0].outcome is Outcome.MISTRUSTED


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        _, low, high = median_interval(tuple(rng.exponential(size=12)))
        hits += low <= np.log(2) <= high
    assert hits / 2000 >= 0.95
