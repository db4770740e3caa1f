"""Random numbers by the CANN standard."""

import numpy as np

from harness.checks.cann_random import CannRandom
from harness.inputs import draw_normal
from harness.verdict import Cause, Outcome
from tests.harness.checks.build import evidence


def draws(seed: int, wrong: int = 0) -> dict[str, np.ndarray]:
    found = {f"draw{i:03d}": draw_normal(seed, f"draw{i}", 500).astype(np.float32) for i in range(100)}
    return found | {f"draw{i:03d}": found[f"draw{i:03d}"] + np.float32(1) for i in range(wrong)}


def test_other_draws_of_the_same_distribution_pass() -> None:
    found = CannRandom()(evidence(draws(0), draws(1), None))
    assert [f.outcome for f in found] == [Outcome.PASS]
    assert found[0].bound is not None
    assert round(found[0].bound, 2) == 95.93


def test_three_of_a_hundred_wrong_tensors_are_tolerated_and_ten_are_not() -> None:
    assert CannRandom()(evidence(draws(0, 3), draws(1), None))[0].outcome is Outcome.PASS
    found = CannRandom()(evidence(draws(0, 10), draws(1), None))[0]
    assert (found.outcome, found.cause) == (Outcome.FAIL, Cause.RANDOM)


def test_it_says_when_both_sides_drew_the_same() -> None:
    assert "the same numbers" in CannRandom()(evidence(draws(0), draws(0), None))[0].message


def test_a_missing_output_counts_against_it() -> None:
    half = dict(list(draws(1).items())[:50])
    assert CannRandom()(evidence(draws(0), half, None))[0].outcome is Outcome.FAIL
