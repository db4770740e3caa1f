"""Same bits: two of a candidate's own outputs, and nothing else."""

import numpy as np

from harness.checks.evidence import Evidence
from harness.checks.same_bits import SameBits
from harness.verdict import Outcome
from tests.harness.checks.build import case, recording

LOSS = np.array([3.0, 2.0, 1.0], dtype=np.float32)


def judged(left, right, series=("a/loss", "b/loss")):
    tensors = {**{f"a/{n}": v for n, v in left.items()}, **{f"b/{n}": v for n, v in right.items()}}
    made = recording(tensors, series=tuple(series))
    return SameBits("a", "b")(Evidence(case(), made, made))


def test_the_same_passes():
    (finding,) = judged({"loss": LOSS, "w": LOSS}, {"loss": LOSS.copy(), "w": LOSS.copy()})
    assert finding.outcome is Outcome.PASS
    assert "2 outputs" in finding.message


def test_one_bit_fails_and_the_step_is_named():
    other = LOSS.copy()
    other[1] = np.nextafter(other[1], np.float32(9))
    (finding,) = judged({"loss": LOSS}, {"loss": other})
    assert (finding.outcome, finding.where) == (Outcome.FAIL, "first at step 1 of 3")


def test_the_sign_of_zero_is_a_bit():
    (finding,) = judged({"loss": LOSS, "w": np.array([0.0])}, {"loss": LOSS, "w": np.array([-0.0])})
    assert (finding.outcome, finding.subject, finding.where) == (Outcome.FAIL, "a/w", "index [0]")


def test_other_outputs_dtypes_or_shapes_fail():
    assert judged({"loss": LOSS, "w": LOSS}, {"loss": LOSS})[0].outcome is Outcome.FAIL
    assert judged({"loss": LOSS}, {"loss": LOSS.astype(np.float64)})[0].outcome is Outcome.FAIL
    assert judged({"loss": LOSS}, {"loss": LOSS[:2]})[0].outcome is Outcome.FAIL
    assert judged({}, {})[0].outcome is Outcome.FAIL


def test_two_runs_in_which_nothing_happens_say_nothing():
    still = np.ones(3, dtype=np.float32)
    assert judged({"loss": still}, {"loss": still})[0].outcome is Outcome.MISTRUSTED


def test_what_is_not_finite_fails():
    bad = np.array([1.0, np.nan], dtype=np.float32)
    assert judged({"loss": bad}, {"loss": bad})[0].outcome is Outcome.FAIL
