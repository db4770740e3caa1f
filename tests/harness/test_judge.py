"""Nothing is compared before it is proved to be comparable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.case import Case
from harness.judge import judge
from harness.recording import Recording, Status, write_recording
from harness.verdict import Outcome
from tests.harness.test_recording import CASE

GOLDEN = np.linspace(1, 2, 64)


@pytest.fixture
def sides(tmp_path: Path) -> dict[str, Recording]:
    made = {}
    for side, array in (("candidate", GOLDEN.astype(np.float32)), ("reference", GOLDEN.astype(np.float32)), ("golden", GOLDEN)):
        blank = Recording(
            CASE.definition(), CASE.key(), CASE.area, "cpu", "e", Status.OK, inputs={"x": "aa"}, dtypes={"out": str(array.dtype)}
        )
        made[side] = write_recording(tmp_path / side, blank, {"out": array})
    return made


def outcome(sides: dict[str, Recording], case: Case = CASE) -> Outcome:
    return judge(case, sides["candidate"], sides["reference"], sides["golden"]).outcome


def test_agreement_passes(sides: dict[str, Recording]) -> None:
    verdict = judge(CASE, sides["candidate"], sides["reference"], sides["golden"], "again")
    assert verdict.outcome is Outcome.PASS
    assert verdict.reproduce == "again"
    assert set(verdict.evidence) == {"candidate", "reference", "golden"}


@pytest.mark.parametrize("side", ["reference", "golden"])
def test_other_inputs_are_incomparable_and_named(sides: dict[str, Recording], side: str) -> None:
    sides[side] = replace(sides[side], inputs={"x": "bb"})
    verdict = judge(CASE, sides["candidate"], sides["reference"], sides["golden"])
    assert verdict.outcome is Outcome.INCOMPARABLE
    assert "other inputs (SHA-256 differs): x" in verdict.message


def test_another_definition_is_incomparable_and_says_what_differs(sides: dict[str, Recording]) -> None:
    definition = {**CASE.definition(), "seed": 7, "dtype": "bfloat16"}
    sides["reference"] = replace(sides["reference"], definition=definition, key="other")
    verdict = judge(CASE, sides["candidate"], sides["reference"], sides["golden"])
    assert verdict.outcome is Outcome.INCOMPARABLE
    assert "dtype 'float32' against 'bfloat16', seed 0 against 7" in verdict.message


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.UNSUPPORTED, Outcome.UNSUPPORTED),
        (Status.CRASH, Outcome.ERROR),
        (Status.TIMEOUT, Outcome.ERROR),
        (Status.OUT_OF_MEMORY, Outcome.ERROR),
    ],
)
def test_a_candidate_that_did_not_finish_never_passes(sides: dict[str, Recording], status: Status, expected: Outcome) -> None:
    sides["candidate"] = replace(sides["candidate"], status=status, message="the device's own words")
    verdict = judge(CASE, sides["candidate"], sides["reference"], sides["golden"])
    assert verdict.outcome is expected
    assert "the device's own words" in verdict.message


@pytest.mark.parametrize("side", ["reference", "golden"])
def test_a_reference_that_did_not_finish_is_incomparable(sides: dict[str, Recording], side: str) -> None:
    sides[side] = replace(sides[side], status=Status.ERROR)
    assert outcome(sides) is Outcome.INCOMPARABLE


def test_a_missing_reference_says_why(sides: dict[str, Recording]) -> None:
    verdict = judge(CASE, sides["candidate"], "runs/x has no recording of it", None)
    assert verdict.outcome is Outcome.INCOMPARABLE
    assert "runs/x has no recording" in verdict.message


def test_a_tampered_reference_is_incomparable(sides: dict[str, Recording]) -> None:
    path = sides["reference"].folder / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    verdict = judge(CASE, sides["candidate"], sides["reference"], sides["golden"])
    assert verdict.outcome is Outcome.INCOMPARABLE
    assert "altered" in verdict.message


def test_a_case_whose_checks_found_nothing_is_mistrusted(sides: dict[str, Recording]) -> None:
    assert outcome(sides, replace(CASE, checks=())) is Outcome.MISTRUSTED


def test_short_series_travel_with_the_verdict(sides: dict[str, Recording]) -> None:
    sides["candidate"] = replace(sides["candidate"], series=("out",))
    verdict = judge(CASE, sides["candidate"], sides["reference"], sides["golden"])
    assert len(verdict.evidence["candidate"]["series"]["out"]) == 64
