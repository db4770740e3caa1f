"""The re-check, repeats, and random numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.inputs import draw_bits, draw_normal
from harness.standards.cann.repetition import differing, pass_rate, recheck, repeats, same_distribution


def test_too_few_seeds_fail_however_good_they_are() -> None:
    assert not recheck([0.5] * 199).passed
    assert "199 seeds, at least 200" in recheck([0.5] * 199).why
    assert recheck([0.5] * 200).passed


def test_a_median_above_one_beyond_doubt_fails() -> None:
    result = recheck(1.2 + 0.01 * draw_normal(0, "ratios", 200))
    assert not result.passed
    assert 1.19 < result.low <= result.median <= result.high < 1.21


def test_an_interval_that_holds_one_passes() -> None:
    result = recheck(1.0 + 0.5 * draw_normal(0, "ratios", 1000))
    assert result.passed
    assert result.low < 1 < result.high


def test_a_few_terrible_seeds_do_not_matter_and_infinities_are_ratios() -> None:
    assert recheck([0.9] * 150 + [math.inf] * 50).passed
    assert not recheck([0.9] * 50 + [math.inf] * 150).passed


def test_exactly_one_passes() -> None:
    assert recheck([1.0] * 200).passed


def test_the_interval_is_made_of_the_25th_and_the_976th_median() -> None:
    sample = draw_normal(1, "sample", 201)
    from harness.standards.cann.repetition import bootstrap_medians

    medians = np.sort(bootstrap_medians(sample, 1000, 0))
    result = recheck(sample)
    assert (result.low, result.high) == (medians[24], medians[975])
    assert recheck(sample, resamples=2000).low == np.sort(bootstrap_medians(sample, 2000, 0))[49]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_the_interval_holds_the_sample_s_median_and_repeats(seed: int) -> None:
    sample = draw_normal(seed, "sample", 200)
    result = recheck(sample, resamples=200)
    assert result.low <= np.median(sample) <= result.high
    assert recheck(sample, resamples=200) == result


@pytest.mark.parametrize(("level", "times"), [("L0", 50), ("L1", 50), ("L2", 1000)])
def test_repeats_of_each_level(level: str, times: int) -> None:
    assert repeats(level) == times


def test_runs_that_differ_in_one_bit_are_counted() -> None:
    first = np.array([1.0, 2.0, np.nan], dtype=np.float32)
    other = first.copy()
    other[0] = np.nextafter(np.float32(1), np.float32(2))
    assert differing([first] * 50) == 0
    assert differing([first, other, first, other]) == 2
    assert differing([first, np.array([-0.0, 2.0], dtype=np.float32)]) == 1


def test_the_same_distribution_is_told_from_another() -> None:
    uniform = (draw_bits(0, "u", 2000) >> np.uint64(11)) * 2.0**-53
    assert same_distribution(draw_normal(0, "a", 2000), draw_normal(0, "b", 2000))
    assert not same_distribution(draw_normal(0, "a", 2000), draw_normal(0, "b", 2000) * 1.5)
    assert not same_distribution(uniform, draw_normal(0, "b", 2000))


def test_the_pass_rate_of_a_hundred_tests() -> None:
    assert pass_rate(100) == pytest.approx(0.99 - 3.0902 * math.sqrt(0.0099 / 100))
    assert pass_rate(100) == pytest.approx(0.95925, abs=1e-5)
    assert pass_rate(10_000) > pass_rate(100)
