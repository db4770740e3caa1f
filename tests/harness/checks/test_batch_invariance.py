"""Whether company changes a result: told, and never judged."""

import numpy as np

from harness.checks.batch_invariance import BatchInvariance
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

CHECK = BatchInvariance("together", "alone")
ROWS = np.linspace(-1, 1, 12, dtype=np.float32)


def found(together, alone=ROWS):
    side = {"together/logits": together, "alone/logits": alone}
    return CHECK(evidence(side, {"together/logits": alone, "alone/logits": alone}, side))[0]


def test_the_same_bits_are_said_to_be():
    one = found(ROWS.copy())
    assert (one.outcome, one.measured, one.message) == (Outcome.PASS, 0.0, "the same bits as alone")


def test_what_moves_is_counted_and_passes():
    moved = ROWS.copy()
    moved[3] += 0.25
    one = found(moved)
    assert (one.outcome, one.measured, one.reference) == (Outcome.PASS, 1.0, 0.0)
    assert one.message == "1 of 12 elements differ from alone, by up to 0.25"


def test_nothing_to_compare_with_is_incomparable():
    assert found(ROWS, ROWS[:5]).outcome is Outcome.INCOMPARABLE
