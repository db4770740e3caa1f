"""KL of a side's distribution of the next token from float64's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from harness.checks.divergence import Divergence, divergences
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((40, 64)) * 3
NOISE = RNG.standard_normal((2, 40, 64)) * 2.0**-22


def judged(candidate, reference=None, golden=LOGITS, check=None, **more):
    sides = [
        {"logits": np.asarray(side, np.float32), **more} for side in (candidate, LOGITS + NOISE[1] if reference is None else reference)
    ]
    return (check or Divergence("logits"))(evidence(*sides, {"logits": golden, **more}))


@given(st.floats(1e-3, 3.0), st.integers(0, 100))
def test_is_the_textbook_sum_where_that_has_digits(scale, seed):
    p, q = np.random.default_rng(seed).standard_normal((2, 5, 30)) * scale * 3
    logs = log_softmax(p, -1), log_softmax(p + scale * q, -1)
    expected = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(-1)
    np.testing.assert_allclose(divergences(p, p + scale * q), expected, rtol=1e-6, atol=1e-13)


def test_keeps_its_digits_where_the_two_are_nearly_one():
    error = RNG.standard_normal((4, 64))
    np.testing.assert_allclose(
        divergences(LOGITS[:4], LOGITS[:4] + 1e-7 * error), 1e-8 * divergences(LOGITS[:4], LOGITS[:4] + 1e-3 * error), rtol=1e-2
    )


def test_a_constant_on_all_logits_is_no_difference():
    assert divergences(LOGITS, LOGITS + 5.0).max() < 1e-28


def test_noise_like_the_references_passes():
    found = judged(LOGITS + NOISE[0])
    assert [f.outcome for f in found] == [Outcome.PASS, Outcome.PASS]
    assert found[0].unit == "nats"
    assert found[0].measured == pytest.approx(found[0].reference, rel=0.5)


def test_one_place_that_is_off_fails_and_is_named():
    candidate = LOGITS + NOISE[0]
    candidate[17] += 1e-3 * RNG.standard_normal(64)
    found = judged(candidate)
    assert found[1].outcome is Outcome.FAIL
    assert found[1].where == "place 17 of 40"


def test_all_places_a_little_off_fail_on_average():
    assert judged(LOGITS + 8 * NOISE[0])[0].outcome is Outcome.FAIL


def test_roundoff_is_allowed_where_the_reference_has_none():
    assert {f.outcome for f in judged(LOGITS * (1 + 2.0**-24), LOGITS.astype(np.float32).astype(np.float64))} == {Outcome.PASS}


def test_what_follows_another_token_is_left_out():
    tokens = LOGITS.argmax(-1)
    golden = tokens.copy()
    golden[20] += 1
    candidate = LOGITS + NOISE[0]
    candidate[21:] = 0
    sides = [{"logits": np.asarray(x, np.float32), "tokens": tokens} for x in (candidate, LOGITS + NOISE[1])]
    found = Divergence("logits", tokens="tokens")(evidence(*sides, {"logits": LOGITS, "tokens": golden}))
    assert {f.outcome for f in found} == {Outcome.PASS}


def test_not_finite_fails():
    candidate = LOGITS.copy()
    candidate[3, 5] = np.nan
    assert Outcome.FAIL in {f.outcome for f in judged(candidate)}


def test_a_reference_as_wrong_as_can_be_excuses_nothing():
    assert judged(LOGITS + NOISE[0], LOGITS + 3 * RNG.standard_normal(LOGITS.shape))[0].outcome is Outcome.MISTRUSTED


def test_tells_both_curves():
    sides = [{"logits": np.asarray(LOGITS + noise, np.float32)} for noise in NOISE]
    told = Divergence("logits").told(evidence(*sides, {"logits": LOGITS}))
    assert [len(side) for side in told["kl/logits"]] == [40, 40]
