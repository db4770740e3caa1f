"""Perturbed reruns inside the Run of a device."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.manner import PERTURBED
from harness.recorder import Recorder
from harness.run import Run
from reference.reruns import made, recorded
from suites.session import Session, parse
from tests.harness.odd_workloads import BY_NAME

GOOD = replace(BY_NAME["operators/well_behaved[float32]"], band=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Run of a session in which the CPU is candidate and reference."""
    folder = tmp_path_factory.mktemp("runs") / "a"
    session = Session(parse("cpu", "cpu", str(folder), False, "default"), {GOOD.id: GOOD})
    try:
        session.verdict(GOOD)
    finally:
        session.close()
    return folder


def test_a_session_makes_as_many_as_the_case_asks_for(run: Path) -> None:
    assert sorted(path.name for path in (run / "reruns").iterdir()) == [str(manner) for manner in PERTURBED[:2]]
    assert not (run / "reference" / "reruns").exists()  # one device needs them once


def test_they_are_comparable_and_differ(run: Path) -> None:
    plain = Run.open(run).recording(GOOD.id)
    found = recorded(Run.open(run), GOOD)
    assert [r.inputs for r in found] == [plain.inputs] * 2
    assert [r.key for r in found] == [plain.key] * 2
    assert all((r.tensors["out"] != plain.tensors["out"]).any() for r in found)


def test_a_run_that_was_recorded_brings_them_to_a_verdict(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    import suites.session as module

    judged = module.judge
    monkeypatch.setattr(module, "judge", lambda *args, **more: (seen.append(more["reruns"]), judged(*args, **more))[1])
    session = Session(parse("cpu", str(run), str(tmp_path / "b"), False, "default"), {GOOD.id: GOOD})
    try:
        session.verdict(GOOD)
    finally:
        session.close()
    (reruns,) = seen
    assert [r.folder.is_relative_to(run / "reruns") for r in reruns] == [True, True]
    assert len(recorded(Run.open(tmp_path / "b"), GOOD)) == 2  # and its own, for whoever is compared with it


def test_a_run_without_them_has_none(tmp_path: Path) -> None:
    assert recorded(Run.create(tmp_path / "old", "cpu"), GOOD) == []


def test_one_that_is_broken_is_left_out(run: Path, tmp_path: Path) -> None:
    recorder = Recorder(Run.create(tmp_path / "c", "cpu"), "cpu")
    try:
        assert len(made(recorder, replace(GOOD, band=1))) == 1
    finally:
        recorder.close()
    (written,) = (tmp_path / "c" / "reruns" / "perturbed-1" / "recordings").glob("*/recording.json")
    written.write_text(written.read_text().replace("cpu", "gpu"))
    assert recorded(Run.open(tmp_path / "c"), GOOD) == []
