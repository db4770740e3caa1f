"""Seeds, states and successive draws."""

import numpy as np
import pytest

from harness.checks.fingerprint.generators import A_ANEW, STATE, STATE_AGAIN, SUCCESSOR, A, B
from harness.verdict import Cause, Outcome
from tests.harness.checks.fingerprint.read import findings, recording


def draws() -> np.ndarray:
    made = np.random.default_rng(0).random((6, 32))
    made[A_ANEW], made[STATE_AGAIN] = made[A], made[STATE]
    return made


def test_a_sound_generator_passes() -> None:
    outputs = {"uniform": draws(), "dropout": draws(), "split": draws()[A], "host_uniform": draws()[B]}
    found = findings("generators", recording(outputs))
    assert {name: f.answer for name, f in found.items()} == {
        "seeds and states": "as they must be", "draw in two halves": "the same draw", "stream": "its own",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (SUCCESSOR, A, "a draw repeats the one before: dropout"),
        (B, A, "two seeds draw the same: dropout"),
        (A_ANEW, B, "one seed draws differently: dropout"),
        (STATE_AGAIN, B, "a restored state draws differently: dropout"),
    ],
)
def test_each_fault_is_named(one: int, other: int, words: str) -> None:
    wrong = draws()
    wrong[one] = wrong[other]
    found = findings("generators", recording({"uniform": draws(), "dropout": wrong}))["seeds and states"]
    assert (found.outcome, found.cause, found.answer) == (Outcome.FAIL, Cause.RANDOM, words)
