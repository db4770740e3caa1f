"""Score: pairing, the three answers, what they say of their own power, and how often they are wrong."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.checks import score
from harness.checks.score import Score
from harness.detectable import detectable, power
from harness.paired import mcnemar, tango
from harness.verdict import Finding, Outcome, sum_up


def side(correct, loglikelihood=None, doc="d", prompt="p", **details):
    samples = [{"doc_hash": f"{doc}{i}", "prompt_hash": f"{prompt}{i}"} for i in range(len(correct))]
    tensors = {"correct": np.asarray(correct, dtype=np.int64)}
    if loglikelihood is not None:
        tensors["loglikelihood"] = np.asarray(loglikelihood, dtype=np.float64)
    return SimpleNamespace(tensors=tensors, details={"samples": samples, **details})


def graded(scores, metric="f1"):
    samples = [{"doc_hash": f"d{i}", "prompt_hash": f"p{i}"} for i in range(len(scores))]
    return SimpleNamespace(tensors={"score": np.asarray(scores, dtype=np.float64)}, details={"samples": samples, "metric": metric})


def both(candidate, reference):
    return SimpleNamespace(candidate=candidate, reference=reference)


def judge(candidate, reference, check=None) -> list[Finding]:
    return (check or Score())(both(candidate, reference))


def split(both_right, b, c, neither):
    """Return (candidate, reference) answers with so many samples of each kind."""
    return [1] * both_right + [0] * b + [1] * c + [0] * neither, [1] * both_right + [1] * b + [0] * c + [0] * neither


def difference(b, c, n=1000, check=None):
    return judge(*(side(answers) for answers in split(n // 2, b, c, n - n // 2 - b - c)), check)[0]


def test_equal_answers_pass_where_the_samples_are_enough():
    found, sides = judge(side([1] * 120 + [0] * 80), side([1] * 120 + [0] * 80))
    assert (sides.outcome, sides.measured, sides.reference, sides.unit) == (Outcome.PASS, 60.0, 60.0, "%")
    assert (found.outcome, found.measured, found.bound, found.unit) == (Outcome.PASS, 0.0, 2.0, "points")
    assert (
        "equal within 2 points (95 %); the smallest difference that shows is 3.0 points, a loss that is found 80% of the time"
        in found.message
    )


@pytest.mark.parametrize(
    ("b", "c", "n", "outcome"),
    [
        (0, 0, 200, Outcome.PASS), (0, 0, 150, Outcome.INCONCLUSIVE),  # the same answers, of enough samples and of too few
        (3, 3, 1000, Outcome.PASS), (20, 20, 400, Outcome.INCONCLUSIVE),  # flips to both sides
        (6, 0, 300, Outcome.FAIL), (0, 6, 300, Outcome.FAIL), (5, 0, 300, Outcome.INCONCLUSIVE),  # 2⁻⁵ = 0.031, 2⁻⁴ = 0.063
        (30, 8, 4000, Outcome.FAIL),  # beyond chance, though small
    ],
)  # fmt: skip
def test_there_are_three_answers(b, c, n, outcome):
    found = difference(b, c, n)
    assert found.outcome is outcome
    assert f"n={n}, b={b} (only the reference right), c={c} (only the candidate right)" in found.message
    assert ("cannot tell" in found.message) == (outcome is Outcome.INCONCLUSIVE)


def test_seven_of_seven_lost_are_enough():
    assert judge(side([0] * 7), side([1] * 7))[0].outcome is Outcome.FAIL


def test_a_small_loss_that_is_no_chance_fails_and_says_that_it_is_small():
    assert "worse beyond chance, though within 2 points" in difference(30, 8, 4000).message


def test_the_interval_is_tango_s():
    found, expected = difference(9, 2, 400), tango(400, 9, 2, 0.95)
    assert (found.low, found.high) == (pytest.approx(100 * expected.low), pytest.approx(100 * expected.high))


def test_the_level_is_shared_by_a_family():
    assert difference(8, 0, 300).outcome is Outcome.FAIL
    assert difference(8, 0, 300, Score(family=10)).outcome is Outcome.INCONCLUSIVE
    assert difference(9, 0, 300, Score(family=10)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("right", "chance", "outcome"), [(60, 0.5, Outcome.INCONCLUSIVE), (180, 0.5, Outcome.PASS), (0, 0.0, Outcome.INCONCLUSIVE)]
)
def test_equality_at_chance_says_nothing(right, chance, outcome):
    one = side([1] * right + [0] * (240 - right), chance=chance)
    found = judge(one, one)[0]
    assert found.outcome is outcome
    assert ("no better than chance" in found.message) == (outcome is Outcome.INCONCLUSIVE)


@pytest.mark.parametrize("n", [2, 7])
def test_samples_that_show_nothing_say_so(n):
    found = judge(side([1] * n), side([1] * n), Score(family=10))[0]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert f"{n} samples show no difference at all" in found.message


def test_inconclusive_is_worse_than_a_pass_and_fails_no_run():
    outcome, message = sum_up(judge(side([1] * 50), side([1] * 50)))
    assert outcome is Outcome.INCONCLUSIVE
    assert "score of difference: n=50" in message


@pytest.mark.parametrize("other", [side([1] * 20, doc="x"), side([1] * 20, prompt="x"), side([1] * 19), side([])])
def test_samples_that_cannot_be_paired_are_incomparable(other):
    (finding,) = judge(other, side([1] * 20))
    assert finding.outcome is Outcome.INCOMPARABLE
    assert finding.message
    assert Score().told(both(other, side([1] * 20))) == {}


def test_a_shuffled_order_is_incomparable():
    other = side([1] * 20)
    other.details["samples"].reverse()
    assert judge(other, side([1] * 20))[0].outcome is Outcome.INCOMPARABLE


@pytest.mark.parametrize(("ours", "theirs"), [(side([1] * 20), side([1] * 20, [0.0] * 40)), (side([1] * 20), graded([0.5] * 20))])
def test_a_missing_output_is_incomparable(ours, theirs):
    assert judge(ours, theirs)[0].outcome is Outcome.INCOMPARABLE


def test_loglikelihoods_inform_of_the_largest_difference_and_of_their_drift():
    _, _, largest, drift = judge(side([1] * 20, [-1.0, -2.0, -3.5]), side([1] * 20, [-1.0, -2.25, -3.0]))
    assert (largest.outcome, largest.measured, largest.bound, largest.unit, largest.where) == (Outcome.PASS, 0.5, None, "nats", "request 2")
    assert (drift.outcome, drift.subject, drift.measured) == (Outcome.PASS, "drift", pytest.approx(-0.25 / 3))


def test_the_drift_is_of_samples_and_not_of_requests():
    candidate, reference = side([1] * 20, np.repeat(np.arange(20.0), 4)), side([1] * 20, np.zeros(80))
    for one in (candidate, reference):
        for sample in one.details["samples"]:
            sample["loglikelihoods"] = [0.0] * 4
    drift = judge(candidate, reference)[3]
    assert drift.high - drift.low == pytest.approx(2 * 1.96 * np.arange(20).std() / np.sqrt(20), rel=0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_loglikelihood_that_is_not_finite_fails(value):
    finding = judge(side([1] * 20, [-1.0, value]), side([1] * 20, [-1.0, -2.0]))[2]
    assert (finding.outcome, finding.where) == (Outcome.FAIL, "request 1")


def test_a_reference_that_is_not_finite_is_incomparable():
    assert judge(side([1] * 20, [-1.0, -2.0]), side([1] * 20, [-1.0, np.nan]))[2].outcome is Outcome.INCOMPARABLE


SCORES = np.random.default_rng(0).uniform(0.4, 0.9, 200)
NOISE = np.random.default_rng(1).normal(0, 1, 200)


@pytest.mark.parametrize(
    ("metric", "ours", "outcome"),
    [
        ("f1", SCORES, Outcome.PASS), ("f1", SCORES - 0.05, Outcome.FAIL), ("f1", SCORES - 0.01, Outcome.FAIL),
        ("f1", SCORES + 0.3 * NOISE, Outcome.INCONCLUSIVE),
        ("bits_per_byte", SCORES + 0.001, Outcome.PASS), ("bits_per_byte", SCORES + 0.05, Outcome.FAIL),  # a loss is a higher figure
        ("bits_per_byte", SCORES + 0.3 * NOISE, Outcome.INCONCLUSIVE),
    ],
)  # fmt: skip
def test_a_graded_score_has_the_same_three_answers(metric, ours, outcome):
    assert judge(graded(ours, metric), graded(SCORES, metric))[0].outcome is outcome


def test_bits_per_byte_have_a_margin_of_the_reference_s():
    found, sides = judge(graded(SCORES, "bits_per_byte"), graded(SCORES, "bits_per_byte"))
    assert (sides.unit, found.unit, found.bound) == ("bits per byte", "bits per byte", pytest.approx(0.02 * SCORES.mean()))


def test_more_bits_are_worse():
    message = judge(graded(SCORES + 0.05, "bits_per_byte"), graded(SCORES, "bits_per_byte"))[0].message
    assert "the candidate is worse beyond chance" in message


@pytest.mark.parametrize(("broken", "outcome"), [("candidate", Outcome.FAIL), ("reference", Outcome.INCOMPARABLE)])
def test_a_score_that_is_not_finite_is_not_compared(broken, outcome):
    sides = {"candidate": graded(SCORES), "reference": graded(SCORES)}
    sides[broken] = graded([np.nan, *SCORES[1:]])
    assert judge(**sides)[0].outcome is outcome
    assert Score().told(both(**sides)) == {}


def test_few_graded_samples_cannot_tell():
    assert "19 samples are too few" in judge(graded(SCORES[:19]), graded(SCORES[:19] - 0.5))[0].message


def test_a_report_is_told_what_it_draws():
    told = Score(family=3).told(both(side([1] * 200, task="t", groups=["health"]), side([1] * 200)))["score"]
    assert (told["task"], told["groups"], told["n"], told["b"], told["c"], told["family"]) == ("t", ["health"], 200, 0, 0, 3)
    assert told["low"] < 0 < told["high"] < told["margin"] == 0.02
    assert 0 < told["threshold"] < told["detectable"]


# How often it is wrong: nights of several tasks, each with its own size and discordance, as bfloat16 has it (0 to 2 %, 4 % at worst).
TASKS = ((80, 0.01), (150, 0.02), (400, 0.02), (600, 0.01), (1000, 0.04))


@pytest.fixture
def brief(monkeypatch):
    """Leave out what only words are made of: it takes most of the time."""
    monkeypatch.setattr(score, "detectable", lambda *_: None)


def ended(n, noise, loss, check, trials, seed):
    """Return how each of so many comparisons ended; equal counts are judged once."""
    drawn = np.random.default_rng(seed).multinomial(n, [noise / 2 + loss, noise / 2, 1 - noise - loss], trials)[:, :2]
    pairs, places = np.unique(drawn, axis=0, return_inverse=True)
    outcomes = np.array([str(difference(int(b), int(c), n, check).outcome) for b, c in pairs])
    return outcomes[places.ravel()]


def test_at_most_one_clean_night_in_twenty_raises_an_alarm(brief):
    check = Score(family=len(TASKS))
    nights = np.stack([ended(n, noise, 0.0, check, 2000, seed) for seed, (n, noise) in enumerate(TASKS)])
    alarms = float((nights == "fail").any(0).mean())
    assert 0 < alarms <= 0.05
    assert (nights == "inconclusive").mean() < 0.75


@pytest.mark.parametrize(("n", "noise"), [(400, 0.02), (1000, 0.02)])
def test_the_loss_that_is_said_to_be_found_is_found(n, noise, brief):
    check = Score(family=12)
    loss = detectable(n, noise, 0.05 / 12)
    found = ended(n, noise, loss, check, 2000, 5)
    assert float((found == "fail").mean()) == pytest.approx(0.8, abs=0.03)
    assert power(n, noise, loss, 0.05 / 12) == pytest.approx(0.8, abs=0.001)


def test_a_loss_as_large_as_the_margin_seldom_passes(brief):
    found = ended(1000, 0.02, 0.02, Score(), 2000, 6)
    assert float((found == "pass").mean()) <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 2000)
    assert mcnemar(20, 0) < 0.05
