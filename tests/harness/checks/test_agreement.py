"""Two ways to the same figures."""

import numpy as np
import pytest

from harness.checks.agreement import Agreement
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

RNG = np.random.default_rng(0)
LOGPROBS = (-5 + RNG.standard_normal((4, 16))).astype(np.float32)


def apart(by: float):
    return {"rollout": LOGPROBS, "train": (LOGPROBS + by * RNG.standard_normal(LOGPROBS.shape)).astype(np.float32)}


def judged(candidate, reference):
    return Agreement("rollout", "train")(evidence(candidate, reference, None))


def test_as_far_apart_as_the_reference_passes():
    assert {f.outcome for f in judged(apart(1e-4), apart(1e-4))} == {Outcome.PASS}


def test_farther_apart_fails_and_says_by_how_much():
    rms, worst = judged(apart(1e-2), apart(1e-4))
    assert rms.outcome is worst.outcome is Outcome.FAIL
    assert "k3 " in rms.message
    assert "allowed" in rms.message


def test_a_single_token_far_off_fails():
    reference = apart(1e-4)
    candidate = {**reference, "train": reference["train"].copy()}
    candidate["train"][2, 3] += 0.02
    assert judged(candidate, reference)[1].outcome is Outcome.FAIL


def test_the_last_digit_is_allowed_where_the_reference_is_the_same_to_the_bit():
    same, ulp = apart(0), {"rollout": LOGPROBS, "train": np.nextafter(LOGPROBS, np.float32(0))}
    assert {f.outcome for f in judged(ulp, same)} == {Outcome.PASS}
    assert Outcome.FAIL in {f.outcome for f in judged(apart(1e-5), same)}


def test_other_tokens_than_the_references_are_no_hindrance():
    other = {name: values[:, ::-1] for name, values in apart(1e-4).items()}
    assert {f.outcome for f in judged(other, apart(1e-4))} == {Outcome.PASS}


def test_k3_and_the_factor_are_their_definitions():
    candidate = apart(1e-1)
    difference = candidate["train"].astype(float) - candidate["rollout"]
    text = judged(candidate, candidate)[0].message
    assert f"k3 {np.mean(np.exp(difference) - 1 - difference):.3g} nats" in text
    assert f"multiplicative error {np.mean(np.exp(np.abs(difference))):.9g}" in text


@pytest.mark.parametrize("side", [0, 1])
def test_what_is_missing_cannot_be_compared(side):
    sides = [apart(0), apart(0)]
    del sides[side]["train"]
    (found,) = judged(*sides)
    assert found.outcome is Outcome.INCOMPARABLE
    assert "'train'" in found.message


def test_not_finite_on_the_candidate_fails_and_on_the_reference_is_incomparable():
    broken = {**apart(0), "train": np.full_like(LOGPROBS, np.nan)}
    assert Outcome.FAIL in {f.outcome for f in judged(broken, apart(0))}
    assert judged(apart(0), broken)[0].outcome is Outcome.INCOMPARABLE
