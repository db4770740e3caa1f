"""Correlation, repetition and grain of successive values."""

import numpy as np
import pytest

from harness.checks.independence import correlation, grain, repetition
from harness.verdict import Outcome

LENGTH = 1 << 13
RNG = np.random.default_rng(1)
FIRST, SECOND = RNG.random((2, LENGTH), dtype=np.float32)


def both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate([first, second])


def test_independent_values_pass() -> None:
    values = both(FIRST, SECOND)
    assert {test(values, LENGTH).outcome for test in (correlation, repetition)} == {Outcome.PASS}
    assert grain(values).outcome is Outcome.PASS


@pytest.mark.parametrize("lag", [1, 4, 256])
def test_a_correlation_with_later_values_is_found(lag: int) -> None:
    mixed = FIRST + 0.15 * np.roll(FIRST, lag)
    found = correlation(both(mixed, SECOND), LENGTH)
    assert found.outcome is Outcome.FAIL
    assert f"the value {lag} later" in found.message


def test_a_drift_is_found() -> None:
    drift = np.linspace(0, 0.2, LENGTH, dtype=np.float32)
    assert "the position" in correlation(both(FIRST + drift, SECOND + drift), LENGTH).message


def test_the_second_draw_that_is_the_first_is_told() -> None:
    found = repetition(both(FIRST, FIRST), LENGTH)
    assert found.outcome is Outcome.FAIL
    assert "the second draw repeats the first" in found.message


def test_a_piece_that_comes_again_elsewhere_is_found() -> None:
    again = SECOND.copy()
    again[5000:5050] = FIRST[100:150]
    found = repetition(both(FIRST, again), LENGTH)
    assert found.outcome is Outcome.FAIL
    assert f"at 100, after {LENGTH + 4900} values" in found.message


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_masks_repeat_by_chance_only_in_short_sequences(share: float) -> None:
    first, second = RNG.random((2, LENGTH)) < share
    assert repetition(both(first, second), LENGTH).outcome is Outcome.PASS
    assert repetition(both(first, first), LENGTH).outcome is Outcome.FAIL


def test_a_constant_has_nothing_to_repeat() -> None:
    assert repetition(np.zeros(100), 50).outcome is Outcome.PASS


def test_a_generator_of_16_bits_is_too_coarse() -> None:
    coarse = np.floor(both(FIRST, SECOND) * 2**16) / 2**16
    assert grain(coarse).outcome is Outcome.FAIL
