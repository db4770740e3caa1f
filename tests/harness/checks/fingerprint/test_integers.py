"""Integers: one right answer, or none."""

import numpy as np
import pytest

from harness.checks.fingerprint.integers import exact, large, limits, root, wrapped
from harness.verdict import Cause, Outcome
from tests.harness.checks.fingerprint.read import findings, recording

DTYPES = ("int64", "int32", "int16", "int8", "uint8")


def answers(dtype: str) -> dict[str, np.ndarray]:
    return {name: np.array([wanted for _, wanted in sums], dtype="int64") for name, sums in exact(dtype).items()}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_answers_fit_the_dtype_and_pass(dtype: str) -> None:
    low, high = limits(dtype)
    for name, sums in exact(dtype).items():
        if name not in ("sum", "argmax"):
            assert all(low <= wanted <= high for _, wanted in sums), name
    found = findings("integers", recording({**answers(dtype), "wrapped": [v for _, v in wrapped(dtype)], **ZERO}, dtype))
    assert found["arithmetic"].answer == "exact"
    assert found["overflow"].answer == "wraps"
    assert {f.outcome for f in found.values()} == {Outcome.PASS}


ZERO = {"divide_by_zero": [0], "remainder_by_zero": [1]}


@pytest.mark.parametrize("name", exact("int32"))
def test_each_wrong_answer_is_seen(name: str) -> None:
    for i in range(len(exact("int32")[name])):
        wrong = answers("int32")
        wrong[name][i] += 1
        found = findings("integers", recording({**wrong, **ZERO}, "int32"))["arithmetic"]
        assert (found.outcome, found.cause, found.measured) == (Outcome.FAIL, Cause.INTEGERS, 1.0)


@pytest.mark.parametrize(("dtype", "narrower"), [("int64", "float64"), ("int32", "float32"), ("int16", "float16")])
def test_the_large_number_is_none_of_the_narrower_float(dtype: str, narrower: str) -> None:
    assert int(np.array(large(dtype)).astype(narrower)) != large(dtype)
    assert root(dtype) ** 2 <= limits(dtype)[1] < (root(dtype) + 2) ** 2


def test_numpy_wraps_to_the_same_answers() -> None:
    for dtype in DTYPES:
        low, high = (np.array([v], dtype) for v in limits(dtype))
        one, two = np.array([1], dtype), np.array([2], dtype)
        assert [int(v[0]) for v in (high + one, low - one, high * two)] == [v for _, v in wrapped(dtype)]


def test_saturation_is_excused_where_the_reference_does_the_same() -> None:
    saturated = recording({"wrapped": [127, -128, 127], **ZERO}, "int8")
    wraps = recording({"wrapped": [v for _, v in wrapped("int8")], **ZERO}, "int8")
    assert findings("integers", saturated, wraps)["overflow"].outcome is Outcome.FAIL
    assert findings("integers", saturated, saturated)["overflow"].outcome is Outcome.PASS


def test_division_by_zero_is_told() -> None:
    refused = {"divide_by_zero": {"words": "ZeroDivisionError", "known": False, "expected": True}}
    found = findings("integers", recording({"remainder_by_zero": [1]}, "int32", refused=refused))
    assert found["division by zero"].answer == "1//0 raises, 1 mod 0 = 1"
    assert found.keys() == {"division by zero"}


def test_a_cast_that_rounds_fails() -> None:
    outputs = {"from_float": [0, 127, -128, 127], "rounded": [3, -3], **ZERO}
    found = findings("integers", recording(outputs, "int8"))
    assert found["cast from float32"].outcome is Outcome.FAIL
    assert found["cast from float32"].answer == "2.7 → 3, -2.7 → -3"
    assert found["cast of what it cannot hold"].answer == "nan → 0, inf, 1e30 → max, -inf → min"
