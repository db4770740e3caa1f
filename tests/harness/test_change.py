"""When two sets of rounds differ, and how often that is said wrongly. The figures of docs/performance.md are held here."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.change import Change, Estimate, Taken, Told, between, compared, middle
from tests.harness.noise import apart, in_turn, noise

CHANGED = (Told.FASTER, Told.SLOWER)


def share(take: Callable[..., Change], count: int, *arguments: float, told: tuple[Told, ...] = CHANGED) -> float:
    rng = np.random.default_rng(11)
    return sum(take(rng, *arguments).told in told for _ in range(count)) / count


@pytest.mark.parametrize("take", [in_turn, apart])
@pytest.mark.parametrize("rounds", [10, 20, 60])
def test_no_more_false_alarms_than_one_in_twenty(take: Callable[..., Change], rounds: int) -> None:
    """Autocorrelated and heavy-tailed noise, no change: what is seen is one to three in a hundred."""
    assert share(take, 250, rounds, 0.03) <= 0.04


@pytest.mark.parametrize(("rounds", "spread"), [(30, 0.01), (40, 0.02), (60, 0.03)])
def test_three_per_cent_is_found_in_turn_as_the_docs_say(rounds: int, spread: float) -> None:
    assert share(in_turn, 100, rounds, spread, 0.03, told=(Told.SLOWER,)) >= 0.85


def test_drift_hits_both_sides_of_rounds_in_turn() -> None:
    """A machine that slows down by 20 % meanwhile hides 3 % from samples, and not from blocks."""
    rng = np.random.default_rng(3)
    found = Counter(in_turn(rng, 40, 0.01, 0.03, drift=0.2).told for _ in range(50))
    assert found[Told.SLOWER] >= 48


def test_alike_is_a_finding_of_its_own() -> None:
    assert share(in_turn, 40, 60, 0.005, told=(Told.ALIKE,)) >= 0.95


def test_a_difference_too_small_to_matter_is_no_change() -> None:
    assert share(in_turn, 40, 60, 0.002, 0.005) == 0


@pytest.mark.parametrize("keeps", [0.0, 0.6])
def test_the_interval_of_a_median_covers_as_often_as_it_says(keeps: float) -> None:
    rng = np.random.default_rng(5)
    found = [middle(np.exp(noise(rng, 24, 0.05, keeps)).tolist()) for _ in range(200)]
    assert np.mean([one.low <= 1 <= one.high for one in found]) >= 0.92


def test_the_interval_of_a_ratio_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    found = [in_turn(rng, 24, 0.05, 0.03).ratio for _ in range(200)]
    assert np.mean([one.low <= np.exp(-0.03) <= one.high for one in found]) >= 0.92


def test_few_rounds_tell_nothing() -> None:
    assert middle([1.0] * 5) == Estimate(1.0)
    assert middle([1.0] * 5).width == float("inf")
    assert between(Taken([1.0] * 5), Taken([2.0] * 9)).told is Told.UNTOLD


def test_rounds_that_never_vary_are_told_apart_and_alike() -> None:
    assert compared([2.0] * 20, [1.0] * 20, in_turn=True).told is Told.SLOWER
    assert compared([1.0] * 20, [1.0] * 20, in_turn=True).told is Told.ALIKE
    assert compared([2.0] * 20, [1.0] * 20, in_turn=False).told is Told.SLOWER


def test_half_a_block_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="are not two of each side"):
        compared([1.0] * 7, [1.0] * 7, in_turn=True)


def test_an_unsteady_side_can_be_compared_in_turn_only() -> None:
    """Both move together: the ratio in each block is steady where neither side is."""
    rng = np.random.default_rng(8)
    level = np.exp(np.repeat(rng.normal(0, 0.3, 10), 4))
    facts = {"state": "no steady state", "in_turn": True, "order": ["a b b a"], "start": 0}
    ours, theirs = (level * np.exp(rng.normal(by, 0.01, 40)) for by in (0.05, 0.0))
    assert between(Taken(ours, facts), Taken(theirs, facts)).told is Told.SLOWER
    assert between(Taken(ours, {**facts, "in_turn": False}), Taken(theirs, facts)).told is Told.UNTOLD


@given(st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=40), st.floats(1e-3, 1e3))
def test_no_unit_of_time_matters(seconds: list[float], factor: float) -> None:
    one, other = middle(seconds), middle([s * factor for s in seconds])
    assert other.value == pytest.approx(one.value * factor)
    assert other.width == pytest.approx(one.width, rel=1e-6)
    assert one.low <= one.value <= one.high
