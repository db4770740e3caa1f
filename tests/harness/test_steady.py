"""Warm-up, slow-down, neither, and no steady state at all."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.steady import State, Steady, steady
from tests.harness.noise import noise


def seconds(*levels: tuple[int, float], spread: float = 0.01, seed: int = 0) -> list[float]:
    """Return rounds at levels (rounds, seconds), one after the other, with autocorrelated noise."""
    at = np.concatenate([np.full(count, np.log(level)) for count, level in levels])
    return np.exp(at + noise(np.random.default_rng(seed), len(at), spread, 0.3)).tolist()


def test_one_level_is_flat() -> None:
    assert steady(seconds((40, 0.01))) == Steady(State.FLAT)


@pytest.mark.parametrize("slow", [1, 3, 8])
def test_warm_up_rounds_do_not_count(slow: int) -> None:
    assert steady(seconds((slow, 0.05), (40, 0.01))) == Steady(State.WARM_UP, slow)


def test_a_device_that_throttles_counts_from_where_it_has() -> None:
    assert steady(seconds((20, 0.01), (40, 0.0125))) == Steady(State.SLOWDOWN, 20)


def test_a_step_near_the_end_leaves_no_steady_state() -> None:
    assert steady(seconds((36, 0.01), (6, 0.02))).state is State.NONE


def test_one_slow_round_is_no_level() -> None:
    rounds = seconds((40, 0.01))
    rounds[20] *= 10
    assert steady(rounds) == Steady(State.FLAT)


def test_levels_within_one_per_cent_are_one() -> None:
    assert steady(seconds((60, 0.01), (60, 0.01006), spread=0.0005)).state is State.FLAT


def test_few_rounds_have_no_steady_state() -> None:
    assert steady([0.01] * 9) == Steady(State.NONE)
    assert steady([0.01] * 10) == Steady(State.FLAT)


@pytest.mark.parametrize(("keeps", "flat"), [(0.0, 0.94), (0.6, 0.8)])
def test_noise_alone_is_seldom_taken_for_steps(keeps: float, flat: float) -> None:
    rng = np.random.default_rng(1)
    found = Counter(steady(np.exp(noise(rng, 40, 0.03, keeps)).tolist()).state for _ in range(150))
    assert found[State.FLAT] >= flat * 150


@given(st.lists(st.floats(1e-6, 1e3), max_size=60), st.floats(1e-3, 1e3))
def test_what_counts_is_a_part_of_the_rounds_in_any_unit(rounds: list[float], factor: float) -> None:
    found = steady(rounds)
    assert 0 <= found.start <= max(0, len(rounds) - 10)
    assert (found.start > 0) == (found.state in (State.WARM_UP, State.SLOWDOWN))
