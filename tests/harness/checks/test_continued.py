"""Greedy tokens of somebody who tells no logits: wrong beyond a near-tie, whatever the reference is."""

import numpy as np
import pytest

from harness.checks.company import Company
from harness.checks.continued import Continued
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

RNG = np.random.default_rng(0)
SCORES = np.sort(RNG.normal(-4, 1.5, (3, 6, 16)))[..., ::-1]
IDS = np.stack([[RNG.permutation(100)[:16] for _ in range(6)] for _ in range(3)])
TOKENS = IDS[..., 0]


def judged(change=None, check=None, reference_best: bool = True, scores: np.ndarray = SCORES, **more):
    golden = {"alone_tokens": TOKENS, "alone_logprob": scores[..., 0], "best": IDS, "best_logprob": scores}
    own = (scores + RNG.normal(0, 1e-4, scores.shape)).astype(np.float32)
    reference = {"alone_tokens": TOKENS, "alone_logprob": own[..., 0]} | ({"best": IDS, "best_logprob": own} if reference_best else {})
    tokens = TOKENS.copy()
    if change:
        change(tokens)
    candidate = {"alone_tokens": tokens, "alone_logprob": (scores[..., 0] + RNG.normal(0, 1e-4, TOKENS.shape)).astype(np.float32)}
    return (check or Continued())(evidence(candidate | more, reference, golden, dtype="float32"))


@pytest.mark.parametrize("reference_best", [True, False])
def test_equal_tokens_pass_beside_any_reference(reference_best: bool) -> None:
    found = judged(reference_best=reference_best)
    assert {f.outcome for f in found} == {Outcome.PASS}
    assert "3 of 3 answers equal" in found[0].message


@pytest.mark.parametrize("reference_best", [True, False])
def test_a_wrong_token_fails_with_how_far_it_is_off(reference_best: bool) -> None:
    def second_best(tokens):
        tokens[1, 4] = IDS[1, 4, 3]

    found = judged(second_best, reference_best=reference_best)[0]
    assert found.outcome is Outcome.FAIL
    assert (found.measured, found.where) == (1.0, "answer 1, step 4")
    assert f"{SCORES[1, 4, 0] - SCORES[1, 4, 3]:.3g} nats" in found.message


def test_a_near_tie_is_no_fault_and_what_follows_is_left_out() -> None:
    scores = SCORES.copy()
    scores[2, 1, 1] = scores[2, 1, 0] - 1e-5

    def other(tokens):
        tokens[2, 1:] = IDS[2, 1:, 1]

    found = judged(other, scores=scores)
    assert {f.outcome for f in found} == {Outcome.PASS}
    assert "1 part at a near-tie" in found[0].message


def test_a_token_that_is_not_among_the_best_is_at_least_as_far_off_as_the_last_of_them() -> None:
    def unheard(tokens):
        tokens[0, 0] = 100

    assert "at least" in judged(unheard)[0].message


def test_answers_under_load_are_matched_to_their_prompts() -> None:
    rows = np.array([2, 0, 2, 1])
    tokens = TOKENS[rows].copy()
    tokens[3] = -1  # a request that failed
    check = Continued("load", rows="load_prompt", where=" under load")
    found = judged(check=check, load_tokens=tokens, load_prompt=rows)
    assert [f.outcome for f in found] == [Outcome.PASS]
    assert "3 of 3" in found[0].message
    tokens[2, 0] = IDS[2, 0, 5]
    wrong = judged(check=check, load_tokens=tokens, load_prompt=rows)[0]
    assert wrong.outcome is Outcome.FAIL
    assert "under load are wrong" in wrong.message
    assert wrong.where == "answer 2, step 0"


def test_tokens_that_nobody_told_cannot_be_judged() -> None:
    assert judged(check=Continued("load"))[0].outcome is Outcome.INCONCLUSIVE


def test_company_counts_answers_that_change_and_how_far_figures_move() -> None:
    logprob = SCORES[..., 0].astype(np.float32)
    own = {"alone_tokens": TOKENS, "alone_logprob": logprob, "again_tokens": TOKENS, "again_logprob": logprob}
    changed, moved = TOKENS.copy(), logprob.copy()
    changed[1, 2] += 1
    moved[0, 0] += 0.25
    own |= {"together_tokens": changed, "together_logprob": moved}
    again, together = Company()(evidence(own, {}, None))
    assert (again.measured, together.measured) == (0.0, 1.0)
    assert "last bit" in again.message
    assert "up to 0.25 nats" in together.message


@pytest.mark.parametrize("kept", [(), ("alone_tokens",)])
def test_beside_a_reference_that_tells_nothing_equal_tokens_pass_and_others_cannot_be_judged(kept) -> None:
    golden = {"alone_tokens": TOKENS, "alone_logprob": SCORES[..., 0], "best": IDS, "best_logprob": SCORES}
    reference = dict.fromkeys(kept, TOKENS)
    other = TOKENS.copy()
    other[1, 1] = IDS[1, 1, 1]
    found = [Continued("load")(evidence({"load_tokens": tokens}, reference, golden)) for tokens in (TOKENS, other)]
    assert [[f.outcome for f in findings] for findings in found] == [[Outcome.PASS], [Outcome.INCONCLUSIVE]]
