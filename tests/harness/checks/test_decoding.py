"""Greedy decoding with the margin at the first difference."""

import numpy as np

from harness.checks.decoding import Decoding
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((8, 50)) * 3
TOKENS = LOGITS.argmax(axis=1)


def judged(tokens: np.ndarray, logits: np.ndarray, reference_tokens: np.ndarray = TOKENS, golden: np.ndarray = LOGITS):
    sides = [{"tokens": t, "logits": x.astype(np.float32)} for t, x in ((tokens, logits), (reference_tokens, golden))]
    return Decoding("tokens", "logits")(evidence(*sides, {"tokens": golden.argmax(axis=1), "logits": golden}))


def test_equal_tokens_and_close_logits_pass() -> None:
    found = judged(TOKENS, LOGITS)
    assert {f.outcome for f in found} == {Outcome.PASS}
    assert found[0].measured == 8


def test_a_wrong_token_fails_at_its_step() -> None:
    tokens = TOKENS.copy()
    tokens[5] = (tokens[5] + 1) % 50
    found = judged(tokens, LOGITS)[0]
    assert found.outcome is Outcome.FAIL
    assert found.where == "step 5"


def test_a_near_tie_is_no_fault_and_what_follows_is_not_compared() -> None:
    golden = LOGITS.copy()
    best, other = int(TOKENS[3]), int((TOKENS[3] + 1) % 50)
    golden[3, other] = golden[3, best] - 1e-8
    tokens, logits = TOKENS.copy(), golden.copy()
    tokens[3] = other
    logits[4:] = 0  # another prefix: these rows mean nothing
    found = judged(tokens, logits, golden=golden)
    assert {f.outcome for f in found} == {Outcome.PASS}
    assert "4 tokens after it have no common prefix" in found[0].message


def test_logits_that_are_off_fail_even_with_equal_tokens() -> None:
    assert Outcome.FAIL in {f.outcome for f in judged(TOKENS, LOGITS * 1.01)}


def test_a_reference_that_left_the_path_earlier_cannot_judge() -> None:
    reference, tokens = TOKENS.copy(), TOKENS.copy()
    reference[2] = tokens[2] = (TOKENS[2] + 1) % 50
    tokens[6] = (TOKENS[6] + 1) % 50
    assert judged(tokens, LOGITS, reference)[0].outcome is Outcome.INCOMPARABLE


def test_another_number_of_tokens_fails() -> None:
    assert judged(TOKENS[:-1], LOGITS[:-1])[0].outcome is Outcome.FAIL
