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


ROWS = RNG.standard_normal((3, 8, 50)) * 3
NOISE = RNG.gumbel(size=ROWS.shape)
SAMPLED = (ROWS + NOISE).argmax(-1)


def sampled(tokens: np.ndarray, logits: np.ndarray = ROWS, beside: np.ndarray | None = None, golden: np.ndarray = ROWS):
    def side(tokens, logits, beside, dtype):
        return {"tokens": tokens, "logits": logits.astype(dtype), "noise": NOISE.astype(dtype), "logprobs": beside.astype(dtype)}

    exact, right = golden.max(-1), (golden + NOISE).argmax(-1)
    candidate = side(tokens, logits, exact if beside is None else beside, np.float32)
    others = side(right, golden, exact, np.float32), side(right, golden, exact, np.float64)
    return Decoding("tokens", "logits", noise="noise", beside=("logprobs",))(evidence(candidate, *others))


def test_sampled_rows_that_are_equal_pass() -> None:
    found = sampled(SAMPLED)
    assert {f.outcome for f in found} == {Outcome.PASS}
    assert found[0].measured == found[0].bound == 24


def test_a_wrong_sample_fails_in_its_row_and_at_its_step() -> None:
    tokens = SAMPLED.copy()
    tokens[1, 5] = (tokens[1, 5] + 1) % 50
    found = sampled(tokens)[0]
    assert found.outcome is Outcome.FAIL
    assert found.where == "row [1], step 5"
    assert found.measured == 21


def test_what_is_close_is_the_logit_and_its_noise() -> None:
    """The two best sums are a near-tie, though their logits are far apart."""
    golden, tokens = ROWS.copy(), SAMPLED.copy()
    best, other = SAMPLED[2, 4], (SAMPLED[2, 4] + 1) % 50
    golden[2, 4, other] = golden[2, 4, best] + NOISE[2, 4, best] - NOISE[2, 4, other] - 1e-8
    tokens[2, 4] = other
    logits, beside = golden.copy(), golden.max(-1)
    logits[2, 5:], beside[2, 4:] = 0, 0  # of another prefix, and of another token
    found = sampled(tokens, logits, beside, golden)
    assert {f.outcome for f in found} == {Outcome.PASS}
    assert "near-tie" in found[0].message


def test_of_several_rows_the_worst_is_told() -> None:
    tokens = SAMPLED.copy()
    tokens[0, 7], tokens[1, 2] = (tokens[0, 7] + 1) % 50, (tokens[1, 2] + 1) % 50
    found = sampled(tokens)[0]
    assert "2 of 3 rows part from the reference" in found.message
    assert found.outcome is Outcome.FAIL


def test_figures_beside_the_tokens_are_compared_too() -> None:
    found = sampled(SAMPLED, beside=ROWS.max(-1) * 1.01)
    assert {f.subject.split()[0] for f in found if f.outcome is Outcome.FAIL} == {"logprobs"}
