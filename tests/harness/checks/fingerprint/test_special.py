"""Infinity, NaN and subnormals: what fails, what is excused, what is only told."""

import numpy as np
import pytest

from harness.checks.fingerprint.special import ARITHMETIC, COMPARISONS, SELECTIONS, subnormal_answers
from harness.verdict import Cause, Outcome
from tests.harness.checks.fingerprint.read import findings, recording

RIGHT = {name: [value for _, value in promise] for part in (ARITHMETIC, SELECTIONS, COMPARISONS) for name, promise in part.items()}


def answers(**changes: list[float]) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in {**RIGHT, **changes}.items()}


def test_the_right_answers_pass_and_are_named() -> None:
    found = findings("special values", recording(answers()))
    assert {name: f.answer for name, f in found.items()} == {
        "overflow": "infinity", "invalid operation": "NaN", "NaN among candidates": "is chosen", "comparison with NaN": "unordered",
    }  # fmt: skip
    assert all(f.outcome is Outcome.PASS for f in found.values())


def test_saturation_fails_whatever_the_reference_does() -> None:
    saturated = recording(answers(exp=[3.4e38, 3.4e38, 0.0, 0.0]))
    found = findings("special values", saturated, saturated)
    assert found["overflow"].outcome is found["invalid operation"].outcome is Outcome.FAIL
    assert found["overflow"].cause is Cause.SPECIAL
    assert found["overflow"].answer == "exp(1000) = 3.4e+38 and 1 more"
    assert found["invalid operation"].answer == "exp(nan) = 0"


@pytest.mark.parametrize("output", [*ARITHMETIC, *COMPARISONS])
def test_every_wrong_answer_counts(output: str) -> None:
    for i in range(len(RIGHT[output])):
        wrong = list(RIGHT[output])
        wrong[i] = 0.5
        found = findings("special values", recording(answers(**{output: wrong})))
        assert sum(f.outcome is Outcome.FAIL for f in found.values()) == 1


def test_a_custom_that_the_reference_shares_is_excused() -> None:
    other, right = recording(answers(relu=[0.0])), recording(answers())
    assert findings("special values", other, right)["NaN among candidates"].outcome is Outcome.FAIL
    assert findings("special values", other, other)["NaN among candidates"].outcome is Outcome.PASS


def test_what_a_device_refused_is_not_claimed() -> None:
    assert findings("special values", recording({"compare": RIGHT["compare"]})).keys() == {"comparison with NaN"}


@pytest.mark.parametrize(("side", "words"), [("in", "operands flushed"), ("out", "results flushed")])
def test_flushed_subnormals_are_told_and_pass(side: str, words: str) -> None:
    outputs = {f"{name}_{s}": subnormal_answers("float16", f"{name}_{s}") for name in ("mul", "add") for s in ("in", "out")}
    assert findings("special values", recording(outputs, "float16"))["subnormal numbers"].answer == "kept"
    outputs[f"mul_{side}"] = outputs[f"mul_{side}"] * 0
    found = findings("special values", recording(outputs, "float16"))["subnormal numbers"]
    assert found.answer == f"{words}: mul; kept: add"
    assert found.outcome is Outcome.PASS


def test_casts_to_integers_are_told() -> None:
    found = findings("special values", recording({"to_integer": [0, 2**31 - 1, -(2**31), 2**31 - 1]}))
    assert found["cast to int32"].answer == "nan → 0, inf, 3e9 → max, -inf → min"
