"""What the probes found becomes findings."""

from dataclasses import replace
from typing import Any

import numpy as np

from harness.checks.evidence import Evidence
from harness.checks.probed import Probed
from harness.verdict import Cause, Finding, Outcome
from tests.harness.checks.build import evidence, recording

X = np.linspace(1, 2, 8, dtype=np.float32)
CLEAN = {"unsteady": {}, "stale": [], "layouts": {}}


def judged(
    probes: dict[str, Any] | None, altered: tuple[list[int], list[int]] = ([], []), out: np.ndarray = X, reference: np.ndarray = X
) -> list[Finding]:
    made = evidence({"out": out}, {"out": reference}, {"out": X.astype(np.float64)})

    def told(side: Any, details: dict[str, Any]) -> Any:
        changed = replace(side, details=details)
        changed.__dict__["tensors"] = side.tensors
        return changed

    ours = told(made.candidate, {"altered": altered[0], **({"probes": probes} if probes is not None else {})})
    return Probed()(Evidence(made.case, ours, told(made.reference, {"altered": altered[1]}), made.golden))


def failing(findings: list[Finding]) -> list[Cause | None]:
    return [f.cause for f in findings if f.outcome is Outcome.FAIL]


def test_a_clean_candidate_passes_three_times() -> None:
    assert [f.outcome for f in judged(CLEAN)] == [Outcome.PASS] * 3


def test_a_recording_without_probes_says_so() -> None:
    (found,) = judged(None)
    assert (found.outcome, found.message) == (Outcome.PASS, "not asked of this recording")


def test_other_bits_in_a_second_call_are_unsteady() -> None:
    assert failing(judged({**CLEAN, "unsteady": {"out": 3}})) == [Cause.UNSTEADY]


def test_an_operand_that_was_written_to_is_impure_unless_the_reference_does_so_too() -> None:
    assert failing(judged(CLEAN, ([1], []))) == [Cause.IMPURE]
    assert failing(judged(CLEAN, ([1], [1]))) == []


def test_an_output_of_an_earlier_call_is_impure_only_if_it_is_not_the_right_one() -> None:
    assert failing(judged({**CLEAN, "stale": ["out"]}, out=X[::-1].copy())) == [Cause.IMPURE]
    assert failing(judged({**CLEAN, "stale": ["out"]})) == []


def test_an_output_that_float64_gives_is_not_stale_though_the_reference_has_another() -> None:
    assert failing(judged({**CLEAN, "stale": ["out"]}, reference=X[::-1].copy())) == []


def test_an_output_in_which_nothing_can_be_stale_is_not_called_so() -> None:
    for empty in (np.zeros_like(X), np.full_like(X, np.nan)):
        assert failing(judged({**CLEAN, "stale": ["out"]}, out=empty)) == []


def test_a_gradient_that_does_not_depend_on_the_operands_is_wrong_and_not_stale() -> None:
    for moved, causes in ((X, []), (X * (1 + 2.0**-20), [Cause.IMPURE])):
        made = evidence({"out": 3 * X[::-1]}, {"out": X}, {"out": X.astype(np.float64)})
        made.candidate.details["probes"] = {**CLEAN, "stale": ["out"]}
        still = recording({"out": moved.astype(np.float64)})
        assert failing(Probed()(replace(made, moved=(still, still)))) == causes
