"""Shares of right answers, near-ties aside."""

import numpy as np
import pytest

from harness.checks.share import Share
from harness.verdict import Outcome
from tests.harness.checks.build import evidence, recording

SCORES = np.array([[0.0, 0.0], [0.5, -0.25], [1.0, 1e-9], [1.0, 2.0]])  # at the first step nothing is decided
RIGHT = np.array([0.0, 0.5, 0.5, 1.0], np.float32)


def judged(share, golden=SCORES, reference=None):
    scores = (golden if reference is None else reference).astype(np.float32)
    sides = {"accuracy": np.asarray(share, np.float32), "margins": scores}
    (found,) = Share("accuracy", "margins")(evidence(sides, {**sides, "accuracy": RIGHT}, {"accuracy": RIGHT, "margins": golden}))
    return found


@pytest.mark.parametrize("share", [RIGHT, [1.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0]])
def test_near_ties_may_be_counted_either_way(share):
    found = judged(share)
    assert found.outcome is Outcome.PASS
    assert found.message == "3 of 8 scores are near-ties"


@pytest.mark.parametrize(("step", "share"), [(1, 1.0), (1, 0.0), (2, 0.0), (3, 0.5), (0, 1.5), (3, np.nan)])
def test_a_wrong_share_fails_and_the_step_is_named(step, share):
    shares = RIGHT.copy()
    shares[step] = share
    found = judged(shares)
    assert found.outcome is Outcome.FAIL
    assert found.measured == 1
    assert found.where == f"step {step} of 4"


def test_the_message_tells_what_is_right():
    assert "the first is 0, right is 0.5 to 1" in judged([0, 0.5, 0, 1]).message


def test_an_inaccurate_reference_leaves_more_open():
    off = SCORES + np.array([0.0, 0.03])  # ten times that is more than the 0.25 below zero
    assert judged([0, 1, 0.5, 1], reference=off).outcome is Outcome.PASS
    assert judged([0, 0, 0.5, 1], reference=off).outcome is Outcome.FAIL


def test_the_least_accurate_run_of_the_reference_counts():
    sides = {"accuracy": np.array([0, 1, 0.5, 1], np.float32), "margins": SCORES.astype(np.float32)}
    given = evidence(sides, sides, {"accuracy": RIGHT, "margins": SCORES})
    rerun = recording({"margins": (SCORES + 0.03).astype(np.float32)})
    assert Share("accuracy", "margins")(given)[0].outcome is Outcome.FAIL
    object.__setattr__(given, "reruns", (rerun,))
    assert Share("accuracy", "margins")(given)[0].outcome is Outcome.PASS


def test_what_could_not_have_failed_is_mistrusted():
    assert judged(RIGHT, golden=np.zeros((4, 2))).outcome is Outcome.MISTRUSTED


def test_a_reference_without_numbers_judges_nobody():
    assert judged(RIGHT, reference=SCORES * np.nan).outcome is Outcome.INCOMPARABLE


def test_missing_or_misshapen_series():
    whole = {"accuracy": RIGHT, "margins": SCORES}
    assert Share("accuracy", "margins")(evidence({"accuracy": RIGHT}, whole, whole))[0].outcome is Outcome.INCOMPARABLE
    assert Share("accuracy", "margins")(evidence({**whole, "accuracy": RIGHT[:3]}, whole, whole))[0].outcome is Outcome.FAIL
