"""Log-probabilities of given text: close, shifted, or of another model."""

import numpy as np
import pytest

from harness.checks.given_text import GivenText
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

RNG = np.random.default_rng(0)
GOLDEN = -RNG.exponential(3, (4, 60))


def judged(candidate: np.ndarray):
    reference = GOLDEN + RNG.normal(0, 1e-4, GOLDEN.shape)
    sides = [{"logprob": side.astype(np.float32)} for side in (candidate, reference)]
    return GivenText()(evidence(*sides, {"logprob": GOLDEN}))


def test_close_ones_pass_and_the_mean_is_told() -> None:
    found = judged(GOLDEN + RNG.normal(0, 1e-4, GOLDEN.shape))
    assert {f.outcome for f in found} == {Outcome.PASS}
    assert found[-1].measured == pytest.approx(GOLDEN.mean(), abs=1e-3)


@pytest.mark.parametrize(
    ("candidate", "says"),
    [
        (np.roll(GOLDEN, 1, axis=1), "token before each: shifted by one"),
        (np.roll(GOLDEN, -1, axis=1), "token after each: shifted by one"),
        (-RNG.exponential(3, (4, 60)), "another model"),
    ],
)
def test_a_failure_says_what_it_looks_like(candidate: np.ndarray, says: str) -> None:
    failing = [f for f in judged(candidate) if f.outcome is Outcome.FAIL]
    assert failing
    assert all(says in f.message for f in failing)


def test_a_small_error_is_given_no_reason() -> None:
    failing = [f for f in judged(GOLDEN + RNG.normal(0, 1e-2, GOLDEN.shape)) if f.outcome is Outcome.FAIL]
    assert failing
    assert not any("another model" in f.message or "shifted" in f.message for f in failing)


def test_another_number_of_tokens_fails() -> None:
    assert judged(GOLDEN[:, 1:])[0].outcome is Outcome.FAIL
