"""Samples that raise: who says so, and whether that is right."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.checks.answered import Answered
from harness.checks.closeness import Closeness
from harness.checks.evidence import Evidence
from harness.verdict import Cause, Outcome
from tests.harness.checks.build import evidence

REFUSED = {"unsupported": False, "message": "IndexError: out of range"}
UNSTEADY = {"unsupported": False, "message": "RuntimeError: put_ does not have a deterministic implementation, but you set"}
LACKING = {"unsupported": True, "message": "RuntimeError: not implemented"}
X = np.linspace(1, 2, 8, dtype=np.float32)


def sides(candidate: dict[str, Any], reference: dict[str, Any], golden: dict[str, Any] | None = None) -> Evidence:
    def outputs(raised: dict[str, Any]) -> dict[str, np.ndarray]:
        return {f"{part}.0": X for part in ("000", "001") if part not in raised}

    made = evidence(outputs(candidate), outputs(reference), {k: v.astype(np.float64) for k, v in outputs(golden or {}).items()})

    def told(side: Any, raised: dict[str, Any]) -> Any:
        changed = replace(side, details={"raised": raised, "samples": ["(a)", "(b)"]})
        changed.__dict__["tensors"] = side.tensors
        return changed

    assert made.golden is not None
    return replace(
        made, candidate=told(made.candidate, candidate), reference=told(made.reference, reference), golden=told(made.golden, golden or {})
    )


def test_all_answered_passes() -> None:
    (found,) = Answered()(sides({}, {}))
    assert found.outcome is Outcome.PASS


def test_a_refusal_where_the_reference_answers_fails_and_names_the_sample() -> None:
    (found,) = Answered()(sides({"001": REFUSED}, {}))
    assert (found.outcome, found.cause, found.where) == (Outcome.FAIL, Cause.ARGUMENTS, "sample 001 (b)")
    assert "IndexError: out of range" in found.message


def test_an_answer_where_the_reference_refuses_fails() -> None:
    assert Answered()(sides({}, {"000": REFUSED}))[0].cause is Cause.ARGUMENTS


def test_what_the_reference_does_not_support_is_nobody_s_fault() -> None:
    assert Answered()(sides({}, {"000": LACKING}))[0].outcome is Outcome.PASS


def test_what_the_reference_computes_in_no_steady_way_refuses_no_argument() -> None:
    assert Answered()(sides({}, {"000": UNSTEADY}))[0].outcome is Outcome.PASS


def test_a_sample_that_the_device_does_not_support_is_unsupported() -> None:
    assert Answered()(sides({"000": LACKING}, {}))[0].outcome is Outcome.UNSUPPORTED


def test_a_missing_output_fails() -> None:
    made = sides({}, {})
    del made.candidate.tensors["001.0"]  # type: ignore[attr-defined]
    (found,) = Answered()(made)
    assert (found.outcome, found.cause, found.where) == (Outcome.FAIL, Cause.FORM, "001.0")


@pytest.mark.parametrize(("refusing", "outcome"), [(False, Outcome.MISTRUSTED), (True, Outcome.PASS)])
def test_where_the_reference_answers_nothing_nothing_was_tested_unless_that_is_meant(refusing: bool, outcome: Outcome) -> None:
    everything = {"000": REFUSED, "001": REFUSED}
    assert Answered(refusing)(sides(everything, everything))[0].outcome is outcome


def test_a_sample_without_a_golden_is_not_judged_and_said() -> None:
    made = sides({}, {}, {"001": LACKING})
    assert "1 samples have no float64 evaluation" in Answered()(made)[0].message
    assert all("001" not in f.subject for f in Closeness()(made))
