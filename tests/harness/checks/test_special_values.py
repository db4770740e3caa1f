"""NaN and infinity exactly where they belong."""

import numpy as np
import pytest

from harness.checks.special_values import SpecialValues
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

PLAIN = [1.0, 2.0, 3.0]


def outcome(candidate: list[float], reference: list[float], golden: list[float] | None, dtype: str = "float32") -> Outcome:
    sides = [{"out": np.array(x, dtype=np.float32)} for x in (candidate, reference)]
    return SpecialValues()(evidence(*sides, None if golden is None else {"out": np.array(golden)}, dtype))[0].outcome


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_special_value_where_nobody_has_one_fails(bad: float) -> None:
    assert outcome([1.0, bad, 3.0], PLAIN, PLAIN) is Outcome.FAIL


def test_without_a_golden_the_reference_decides() -> None:
    assert outcome([1.0, np.nan, 3.0], PLAIN, None) is Outcome.FAIL
    assert outcome([1.0, np.inf, 3.0], [1.0, np.inf, 3.0], None) is Outcome.PASS


def test_a_missing_infinity_fails() -> None:
    assert outcome([1.0, 65504.0, 3.0], [1.0, np.inf, 3.0], [1.0, np.inf, 3.0]) is Outcome.FAIL


def test_the_wrong_sign_of_infinity_fails() -> None:
    assert outcome([1.0, -np.inf, 3.0], [1.0, np.inf, 3.0], [1.0, np.inf, 3.0]) is Outcome.FAIL


def test_what_float64_can_hold_may_overflow_in_the_dtype() -> None:
    assert outcome([1.0, np.inf, 3.0], [1.0, 2.0, 3.0], [1.0, 70000.0, 3.0], "float16") is Outcome.PASS
    assert outcome([1.0, np.inf, 3.0], [1.0, 2.0, 3.0], [1.0, 60000.0, 3.0], "float16") is Outcome.FAIL


def test_the_same_as_the_reference_is_right() -> None:
    assert outcome([np.nan, 2.0, 3.0], [np.nan, 2.0, 3.0], PLAIN) is Outcome.PASS


def test_the_first_wrong_place_is_named() -> None:
    sides = [{"out": np.array(x, dtype=np.float32)} for x in ([[1.0, 2.0], [np.nan, 4.0]], [[1.0, 2.0], [3.0, 4.0]])]
    assert SpecialValues()(evidence(*sides, None))[0].where == "index [1, 0]"
