"""Did training help, and as much as on the reference: found, missed, and not to be told."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.evidence import Evidence
from harness.checks.improvement import Improvement, bootstrap
from harness.verdict import Outcome
from tests.harness.checks.build import case, recording

ITEMS = 60
RNG = np.random.Generator(np.random.PCG64(7))
HARD = RNG.normal(-3.0, 1.0, ITEMS)
GAIN = RNG.normal(1.0, 0.5, ITEMS)
THEIRS = np.stack([HARD, HARD + GAIN])


def judged(ours: np.ndarray, theirs: np.ndarray = THEIRS) -> list:
    sides = (recording({"held_out": side}) for side in (ours, theirs))
    return Improvement("held_out", "nats")(Evidence(case(), *sides))


def moved(by: float, spread: float = 0.0) -> np.ndarray:
    return np.stack([HARD, THEIRS[1] + by + spread * RNG.normal(0, 1, ITEMS)])


def test_the_same_training_passes_and_says_both_intervals() -> None:
    better, as_good = judged(THEIRS)
    assert (better.outcome, as_good.outcome) == (Outcome.PASS, Outcome.PASS)
    assert better.low < GAIN.mean() < better.high
    assert better.measured == pytest.approx(GAIN.mean())
    assert (as_good.low, as_good.high) == (0.0, 0.0)
    assert "60 of 60" in better.message or f"{np.count_nonzero(GAIN > 0)} of 60" in better.message


def test_a_difference_that_is_significant_but_small_is_the_same_result() -> None:
    _, as_good = judged(moved(-0.01))
    assert as_good.outcome is Outcome.PASS
    assert as_good.high < 0  # every item is worse, yet by less than these items tell of an improvement


def test_training_that_did_nothing_fails_twice() -> None:
    better, as_good = judged(np.stack([HARD, HARD]))
    assert better.outcome is Outcome.FAIL
    assert "no improvement" in better.message
    assert as_good.outcome is Outcome.FAIL
    assert "worse" in as_good.message


@pytest.mark.parametrize(("by", "word"), [(-0.5, "worse"), (0.5, "better")])
def test_another_end_result_fails_either_way(by: float, word: str) -> None:
    _, as_good = judged(moved(by))
    assert as_good.outcome is Outcome.FAIL
    assert word in as_good.message


def test_what_cannot_be_told_is_said_and_is_no_pass() -> None:
    _, as_good = judged(moved(0.0, spread=2.0))
    assert as_good.outcome is Outcome.INCONCLUSIVE
    assert "cannot tell" in as_good.message


def test_a_reference_that_does_not_improve_proves_nothing() -> None:
    still = np.stack([HARD, HARD + RNG.normal(0, 0.5, ITEMS)])
    better, _ = judged(still, still)
    assert better.outcome is Outcome.MISTRUSTED
    assert "train longer" in better.message


def test_scores_that_are_not_finite_fail() -> None:
    broken = THEIRS.copy()
    broken[1, 3] = np.nan
    (finding,) = judged(broken)
    assert finding.outcome is Outcome.FAIL


@pytest.mark.parametrize("ours", [THEIRS[:, :10], THEIRS[0], THEIRS[:, :50]])
def test_other_shapes_are_incomparable(ours: np.ndarray) -> None:
    (finding,) = judged(ours)
    assert finding.outcome is Outcome.INCOMPARABLE


def test_few_items_and_a_broken_reference_are_incomparable() -> None:
    broken = THEIRS.copy()
    broken[0, 0] = np.inf
    assert [f.outcome for f in (*judged(THEIRS[:, :10], THEIRS[:, :10]), *judged(THEIRS, broken))] == [Outcome.INCOMPARABLE] * 2
    lost = recording({"loss": np.zeros(3)})
    (finding,) = Improvement("held_out", "nats")(Evidence(case(), lost, replace(lost)))
    assert finding.outcome is Outcome.INCOMPARABLE


def test_the_interval_is_that_of_the_normal_law_where_it_holds() -> None:
    values = np.random.Generator(np.random.PCG64(3)).normal(0, 1, 400)
    found, half = bootstrap(values), 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half, abs=0.01)
    assert bootstrap(values) == found
