"""The loss on text that was not trained on."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.held_out import HeldOut
from harness.verdict import Outcome
from tests.harness.checks.build import evidence, recording

GOLDEN = np.array([5.5, 4.2])
RUNS = [np.array(run, np.float32) for run in ([5.5001, 4.2010], [5.4999, 4.1995], [5.5001, 4.2008])]


def judged(candidate: list[float], reruns: int = 2):
    made = evidence({"held_out_loss": np.array(candidate, np.float32)}, {"held_out_loss": RUNS[0]}, {"held_out_loss": GOLDEN})
    again = [recording({"held_out_loss": run}, {"held_out_loss": "float32"}) for run in RUNS[1:][:reruns]]
    return HeldOut()(replace(made, reruns=again))


@pytest.mark.parametrize("reruns", [0, 2])
def test_as_far_off_as_the_reference_passes(reruns: int) -> None:
    assert {f.outcome for f in judged([5.4999, 4.1992], reruns)} == {Outcome.PASS}


@pytest.mark.parametrize(("candidate", "fails"), [([5.5001, 4.4], [False, True]), ([5.6, 4.2], [True, False])])
def test_a_model_that_learned_less_is_found_and_told_from_one_that_began_otherwise(candidate, fails) -> None:
    assert [f.outcome is Outcome.FAIL for f in judged(candidate)] == fails


def test_a_nan_fails() -> None:
    assert Outcome.FAIL in {f.outcome for f in judged([5.5, float("nan")])}


def test_the_losses_are_in_the_message_without_a_unit_because_not_every_loss_is_in_nats() -> None:
    assert judged([5.5001, 4.4])[1].message == "candidate 4.4, reference 4.201, float64 4.2"


def test_a_stage_that_holds_nothing_out_is_not_asked() -> None:
    nothing = {"loss": np.ones(2, np.float32)}
    assert HeldOut()(evidence(nothing, nothing, nothing)) == []
    assert [f.outcome for f in HeldOut()(evidence(nothing, nothing, {"held_out_loss": GOLDEN}))] == [Outcome.INCOMPARABLE]
