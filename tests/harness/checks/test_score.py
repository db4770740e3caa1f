"""Score: pairing, the exact test, its false alarms, and what it says of its own power."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks.score import Score, mcnemar, smallest_shown
from harness.verdict import Finding, Outcome


def side(correct, loglikelihood=None, doc="d", prompt="p"):
    samples = [{"doc_hash": f"{doc}{i}", "prompt_hash": f"{prompt}{i}"} for i in range(len(correct))]
    tensors = {"correct": np.asarray(correct, dtype=np.int64)}
    if loglikelihood is not None:
        tensors["loglikelihood"] = np.asarray(loglikelihood, dtype=np.float64)
    return SimpleNamespace(tensors=tensors, details={"samples": samples})


def judge(candidate, reference) -> list[Finding]:
    return Score()(SimpleNamespace(candidate=candidate, reference=reference))


def split(both, b, c, neither):
    """Return (candidate, reference) answers with so many samples of each kind."""
    return [1] * both + [0] * b + [1] * c + [0] * neither, [1] * both + [1] * b + [0] * c + [0] * neither


def test_equal_answers_pass_and_say_what_could_not_have_been_seen():
    (finding,) = judge(side([1] * 60 + [0] * 40), side([1] * 60 + [0] * 40))
    assert (finding.outcome, finding.measured, finding.reference, finding.unit) == (Outcome.PASS, 60.0, 60.0, "%")
    assert "no sample differs; with n=100 samples a difference under 8.0 points would not have been seen" in finding.message


@pytest.mark.parametrize(("b", "c", "outcome"), [(8, 0, Outcome.FAIL), (0, 8, Outcome.FAIL), (7, 0, Outcome.PASS), (10, 8, Outcome.PASS)])
def test_only_a_difference_beyond_chance_fails(b, c, outcome):
    finding = judge(*(side(answers) for answers in split(50, b, c, 32)))[0]
    assert finding.outcome is outcome
    assert f"n={82 + b + c}, b={b} (only the reference right), c={c} (only the candidate right)" in finding.message


def test_interval_is_wilson_s():
    finding = judge(side([1] * 50 + [0] * 50), side([1] * 50 + [0] * 50))[0]
    assert (finding.low, finding.high) == (pytest.approx(40.383, abs=1e-3), pytest.approx(59.617, abs=1e-3))


def test_too_few_samples_are_mistrusted():
    finding = judge(side([1] * 7), side([0] * 7))[0]
    assert finding.outcome is Outcome.MISTRUSTED
    assert "n=7 samples cannot show any difference" in finding.message


@pytest.mark.parametrize("other", [side([1] * 20, doc="x"), side([1] * 20, prompt="x"), side([1] * 19), side([])])
def test_samples_that_cannot_be_paired_are_incomparable(other):
    (finding,) = judge(other, side([1] * 20))
    assert finding.outcome is Outcome.INCOMPARABLE
    assert finding.message


def test_a_shuffled_order_is_incomparable():
    other = side([1] * 20)
    other.details["samples"].reverse()
    assert judge(other, side([1] * 20))[0].outcome is Outcome.INCOMPARABLE


def test_a_missing_output_is_incomparable():
    assert judge(side([1] * 20), side([1] * 20, [0.0] * 40))[0].outcome is Outcome.INCOMPARABLE


def test_the_largest_difference_of_loglikelihoods_informs():
    finding = judge(side([1] * 20, [-1.0, -2.0, -3.5]), side([1] * 20, [-1.0, -2.25, -3.0]))[1]
    assert (finding.outcome, finding.measured, finding.bound, finding.unit, finding.where) == (Outcome.PASS, 0.5, None, "nats", "request 2")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_loglikelihood_that_is_not_finite_fails(value):
    finding = judge(side([1] * 20, [-1.0, value]), side([1] * 20, [-1.0, -2.0]))[1]
    assert (finding.outcome, finding.where) == (Outcome.FAIL, "request 1")


def test_a_reference_that_is_not_finite_is_incomparable():
    assert judge(side([1] * 20, [-1.0, -2.0]), side([1] * 20, [-1.0, np.nan]))[1].outcome is Outcome.INCOMPARABLE


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_verdict_agrees_with_the_smallest_difference_shown(b, c):
    assert (mcnemar(b, c) < 0.01) == (b + c >= 8 and abs(b - c) >= smallest_shown(b + c, 0.01))


def test_false_alarms_are_no_more_frequent_than_alpha():
    # two equally good devices: each of 100 samples flips with probability 0.3, to either side alike
    rng, trials, alpha = np.random.default_rng(7), 20_000, 0.01
    flips = rng.binomial(100, 0.3, trials)
    b = rng.binomial(flips, 0.5)
    pairs, counts = np.unique(np.stack([b, flips - b]), axis=1, return_counts=True)
    alarms = sum(int(count) for pair, count in zip(pairs.T, counts, strict=True) if mcnemar(*map(int, pair)) < alpha)
    assert 0 < alarms / trials <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / trials)
