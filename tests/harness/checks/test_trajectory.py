"""Training curves against the float64 curve."""

import numpy as np
import pytest

from harness.checks.trajectory import Trajectory
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

GOLDEN = np.array([3.0, 2.7, 2.5, 2.2, 2.0, 1.9, 1.8, 1.75, 1.7, 1.65])
SCATTER = 3e-7 * np.array([1, -2, 1, 3, -1, 2, -3, 4, 2, -4])
REFERENCE = (GOLDEN * (1 + SCATTER)).astype(np.float32)


def judged(candidate: np.ndarray):
    return Trajectory(("loss",))(evidence({"loss": candidate.astype(np.float32)}, {"loss": REFERENCE}, {"loss": GOLDEN}))


def test_an_equally_sound_device_passes() -> None:
    assert {f.outcome for f in judged(GOLDEN * (1 - 2 * SCATTER[::-1]))} == {Outcome.PASS}


@pytest.mark.parametrize("drift", [1.001, 1.0001])
def test_a_drift_fails_and_its_first_step_is_named(drift: float) -> None:
    candidate = GOLDEN.copy()
    candidate[6:] *= drift
    failed = [f for f in judged(candidate) if f.outcome is Outcome.FAIL]
    assert failed
    assert failed[0].where == "first at step 6 of 10"


def test_a_nan_fails() -> None:
    candidate = GOLDEN.copy()
    candidate[4] = np.nan
    assert Outcome.FAIL in {f.outcome for f in judged(candidate)}


def test_a_missing_series_is_incomparable() -> None:
    found = Trajectory(("loss",))(evidence({}, {"loss": REFERENCE}, {"loss": GOLDEN}))
    assert [f.outcome for f in found] == [Outcome.INCOMPARABLE]
