"""What the check of an invariant says, by hand-made outputs."""

import math

import numpy as np
import pytest

from harness.case import Case, Step
from harness.checks.evidence import Evidence
from harness.checks.invariant import Invariant
from harness.recording import Recording, Status
from harness.verdict import Cause, Finding, Outcome

U = 2.0**-24


def workload() -> Step:
    raise NotImplementedError


def judged(terms: int = 1, cause: Cause = Cause.VALUES, **outputs: object) -> list[Finding]:
    arrays = {
        name.replace("__", "/"): np.asarray(value, np.float32 if isinstance(value, float | list) else None)
        for name, value in outputs.items()
    }
    case = Case("post_training/invariants/x[float32]", "post_training", workload, "float32", ())
    recording = Recording(case.definition(), case.key(), case.area, "cpu", "", Status.OK, details={"terms": terms})
    recording.__dict__["tensors"] = arrays
    return Invariant(cause)(Evidence(case, recording, recording))


def outcome(**outputs: object) -> Outcome:
    (found,) = judged(**outputs)
    return found.outcome


@pytest.mark.parametrize(
    ("units", "terms", "expected"), [(1.9, 1, Outcome.PASS), (4, 1, Outcome.FAIL), (19, 100, Outcome.PASS), (24, 100, Outcome.FAIL)]
)
def test_two_ways_may_differ_by_what_so_many_roundings_amount_to(units: float, terms: int, expected: Outcome) -> None:
    right = np.array([1.0, -1.0, 1.0, -1.0])
    (found,) = judged(terms, left__x=right * (1 + units * U), right__x=right)
    assert found.outcome is expected
    assert math.isclose(found.bound or 0, 2 * math.sqrt(terms))


def test_a_sum_that_may_cancel_is_allowed_the_root_of_its_addends() -> None:
    right = np.array([1.0, -1.0])
    (found,) = judged(left__x=right * (1 + 15 * U), right__x=right, addends__x=np.array([100]))
    assert found.outcome is Outcome.PASS


def test_one_bad_element_of_many_fails_though_the_mean_is_small() -> None:
    right = np.ones(100_000) * np.array([1.0, -1.0] * 50_000)
    left = right.copy()
    left[77] += 40 * U
    (found,) = judged(left__x=left, right__x=right)
    assert (found.outcome, found.where) == (Outcome.FAIL, "index [77]")


def test_the_cause_is_what_the_case_says() -> None:
    (found,) = judged(cause=Cause.LEAK, left__x=[1.0, 2.0], right__x=[1.0, 3.0])
    assert (found.outcome, found.cause) == (Outcome.FAIL, Cause.LEAK)


@pytest.mark.parametrize(("left", "right"), [([math.nan, 1.0], [math.nan, 1.0]), ([math.inf], [math.inf]), ([1.0], [math.nan])])
def test_nan_and_infinity_fail_even_on_both_sides(left: list[float], right: list[float]) -> None:
    assert outcome(left__x=left, right__x=right) is Outcome.FAIL
    assert outcome(exact_left__x=left, exact_right__x=right) is Outcome.FAIL


def test_exact_is_the_same_bits() -> None:
    assert outcome(exact_left__x=[1.0, 2.0], exact_right__x=[1.0, 2.0]) is Outcome.PASS
    assert outcome(exact_left__x=[1.0, 2.0], exact_right__x=[1.0, 2.0 + 2.0**-22]) is Outcome.FAIL


def test_another_shape_or_dtype_fails() -> None:
    assert outcome(left__x=[1.0], right__x=[1.0, 2.0]) is Outcome.FAIL
    assert outcome(exact_left__x=np.ones(2, np.int64), exact_right__x=np.ones(2, np.int32)) is Outcome.FAIL


def test_what_cancels_is_measured_by_its_terms() -> None:
    assert outcome(zero__x=[1.9 * U], scale__x=[1.0]) is Outcome.PASS
    assert outcome(zero__x=[4 * U], scale__x=[1.0]) is Outcome.FAIL
    assert outcome(zero__x=[4 * U], scale__x=[100.0]) is Outcome.PASS


def test_order_tolerates_nothing() -> None:
    assert outcome(low__x=[1.0, 2.0], high__x=[1.0, 3.0]) is Outcome.PASS
    assert outcome(low__x=[1.0 + 2.0**-23], high__x=[1.0]) is Outcome.FAIL


def test_what_must_be_there_must_not_be_zero() -> None:
    assert outcome(present__x=[0.0, 1.0]) is Outcome.PASS
    assert outcome(present__x=[0.0, 0.0]) is Outcome.FAIL


@pytest.mark.parametrize(
    "outputs",
    [
        {}, {"left__x": [0.0, 0.0], "right__x": [0.0, 0.0]}, {"exact_left__x": [0.0], "exact_right__x": [0.0]}, {"signal__x": [0.0]},
        {"zero__x": [0.0], "scale__x": [0.0]}, {"left__x": np.zeros(0, np.float32), "right__x": np.zeros(0, np.float32)},
    ],
)  # fmt: skip
def test_what_says_nothing_is_mistrusted(outputs: dict[str, object]) -> None:
    assert outcome(**outputs) is Outcome.MISTRUSTED


def test_zeros_say_something_where_a_signal_would_have_moved() -> None:
    (found,) = judged(exact_left__x=[0.0], exact_right__x=[0.0], signal__x=[1.0])
    assert found.outcome is Outcome.PASS


def test_a_bound_as_large_as_the_signal_is_mistrusted() -> None:
    (found,) = judged(terms=10**13, left__x=[1.0], right__x=[1.0])
    assert found.outcome is Outcome.MISTRUSTED
