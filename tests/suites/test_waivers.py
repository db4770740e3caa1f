"""Waivers from end to end: a failing case is waived, a passing one is fixed, and what is wrong stops the run at its start.

The reference is a run of the CPU whose papers say that it was a GPU, so that it counts as another device; in one copy of it the reference
and the golden have an infinity where the candidate will not have one.
"""

import json
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.case import Case
from harness.recording import Recording, Status, write_recording
from harness.run import Run
from harness.verdict import Finding, Outcome, Verdict, sum_up
from reference.waiver import Waiver
from reports.frame import load
from reports.stakeholder.normal import sentence
from suites.session import Session, parse
from tests.harness.odd_workloads import well_behaved
from tests.suites.test_conftest import CASE, assay


def alter(folder: Path) -> None:
    """Put an infinity into the first element of `out`, and seal the recording again."""
    (recording,) = Run.open(folder).recordings()
    arrays = {name: array.copy() for name, array in recording.tensors.items()}
    arrays["out"].flat[0] = np.inf
    write_recording(folder / "recordings", recording, arrays)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `good` and `bad`."""
    folder = tmp_path_factory.mktemp("references")
    done = assay("--device", "cpu", "--case", CASE, "--run", str(folder / "good"))
    assert done.returncode == 0, done.stdout
    document = json.loads((folder / "good" / "run.json").read_text())
    for block in document["environments"].values():
        block["device"] |= {"kind": "cuda", "hardware": "a GPU that is none"}
    (folder / "good" / "run.json").write_text(json.dumps(document))
    shutil.copytree(folder / "good", folder / "bad")
    alter(folder / "bad")
    alter(folder / "bad" / "golden")
    return folder


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    (tmp_path / "waivers").mkdir()
    text = f'''
[first-element]
case = "{CASE}"
check = "special_values"
owner = "A. Person"
reason = "the first element is finite"
link = "https://example.org/1"
expires = 2999-12-31
'''
    (tmp_path / "waivers" / "cpu.toml").write_text(text)
    return tmp_path / "waivers"


def run(references: Path, which: str, made: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return assay("--device", "cpu", "--case", CASE, "--reference", str(references / which), "--run", str(made), *more)


def test_a_failing_case_is_waived_and_neither_fails_nor_passes(references: Path, signed: Path, tmp_path: Path) -> None:
    done = run(references, "bad", tmp_path / "run", "--waivers", str(signed))
    assert done.returncode == 0, done.stdout
    assert "1 xfailed" in done.stdout
    assert "waived: waiver of cpu.toml: first-element: A. Person signed for special_values of out until 2999-12-31" in done.stdout
    assert "verdicts: 1 waived" in done.stdout
    assert "waivers: 1 in force" in done.stdout
    verdict = Run.open(tmp_path / "run").verdict(CASE)
    assert verdict is not None
    assert [(f.check, f.outcome) for f in verdict.findings if f.outcome is not Outcome.PASS] == [
        ("special_values", Outcome.FAIL), ("waiver", Outcome.WAIVED),
    ]  # fmt: skip
    assert verdict.reproduce.endswith(f" --waivers {signed}")
    assert str(sentence(load(tmp_path / "run"))) == (
        "None of the cases that could be judged passed. 1 is waived: known to fail, signed for and counted apart."
    )


def test_a_passing_case_that_somebody_signed_for_is_fixed_and_fails(references: Path, signed: Path, tmp_path: Path) -> None:
    done = run(references, "good", tmp_path / "run", "--waivers", str(signed))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "fixed: waiver of cpu.toml: first-element: finds nothing to excuse; remove it" in done.stdout
    assert "verdicts: 1 fixed" in done.stdout


def test_a_waiver_that_covers_no_case_stops_the_run_at_its_start(signed: Path) -> None:
    path = signed / "cpu.toml"
    path.write_text(path.read_text().replace("softmax", "softmix"))
    done = assay("--device", "cpu", "--case", CASE, "--waivers", str(signed))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert f"{path}: first-element: covers no case: 'operators/softmix[float32]'; the nearest is 'operators/softmax[float32]'" in line


def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, today: date, **changes: Any) -> tuple[Verdict, Run]:
    """Settle one case with the outcome, the day and the environment given, against a reference that is a GPU. Nothing is recorded."""
    Run.create(tmp_path / "gpu", "cuda:0").add_environment({"device": {"kind": "cuda", "name": "cuda:0", "hardware": "GPU"}})
    findings = (Finding("special_values", "out", outcome),)
    monkeypatch.setattr("suites.session.judge", lambda case, *_, **__: Verdict(case.id, case.area, case.dtype, *sum_up(findings), findings))
    blank = {"case": CASE, "owner": "A", "reason": "r", "link": "https://example.org", "expires": date(2026, 10, 31)}
    signed = [Waiver("cpu.toml: w", "cpu", **(blank | changes)), Waiver("npu.toml: w", "npu", **blank)]  # type: ignore[arg-type]
    asked = parse("cpu", str(tmp_path / "gpu"), str(tmp_path / "r"), False, "default")
    session = Session(asked, {}, waivers=signed, today=today)
    device = {"kind": "cpu", "name": "cpu", "hardware": "Kunpeng 920"}
    digest = session.run.add_environment({"host": {"packages": {"torch": "2.13.0"}}, "device": device})
    case = Case(CASE, "operators", well_behaved, "float32", (), golden=False)
    recording = Recording(case.definition(), case.key(), case.area, "cpu", digest, Status.OK)
    return session.judge(case, recording), session.run


@pytest.mark.parametrize(
    ("outcome", "day", "expected", "state"),
    [
        (Outcome.FAIL, date(2026, 10, 31), Outcome.WAIVED, "in force"),
        (Outcome.FAIL, date(2026, 11, 1), Outcome.FAIL, "expired"),
        (Outcome.PASS, date(2026, 10, 31), Outcome.FIXED, "in force"),
    ],
)
def test_a_session_goes_by_the_day_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, day: date, expected: Outcome, state: str
) -> None:
    verdict, made = judged(tmp_path, monkeypatch, outcome, day)
    assert verdict.outcome is expected
    assert [(w["source"], w["state"]) for w in Run.open(made.folder).manifest["waivers"]] == [("cpu.toml: w", state)]
    assert made.verdict(CASE) == verdict


def test_what_was_signed_for_other_versions_is_inactive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, made = judged(tmp_path, monkeypatch, Outcome.FAIL, date(2026, 10, 1), versions={"torch": "<2.12"})
    assert verdict.outcome is Outcome.FAIL
    assert [(w["state"], w["why"]) for w in made.manifest["waivers"]] == [("inactive", "for torch <2.12, and here it is 2.13.0")]
