"""Goldens from run to run: found for the same inputs, code and libraries, and for nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reference.cache
from harness.recording import Recording, Status, write_recording
from reference.cache import Goldens
from tests.harness.test_recording import CASE

INPUTS = {"x": "aa"}


def golden(folder: Path, size: int = 8, status: Status = Status.OK) -> Recording:
    blank = Recording(CASE.definition(), CASE.key(), CASE.area, "cpu", "e", status, golden=True, inputs=INPUTS, dtypes={"out": "float64"})
    return write_recording(folder, blank, {"out": np.linspace(0, 1, size)})


@pytest.fixture
def kept(tmp_path: Path) -> Goldens:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("x = 1\n")
    made = Goldens(tmp_path / "cache", (tmp_path / "code",))
    made.keep(CASE, golden(tmp_path / "made"))
    return made


def test_what_was_kept_is_found_and_lies_in_the_run(kept: Goldens, tmp_path: Path) -> None:
    found = kept.find(CASE, INPUTS, tmp_path / "run")
    assert found is not None
    assert found.folder is not None
    assert found.folder.is_relative_to(tmp_path / "run")
    assert found.tensors["out"].tolist() == np.linspace(0, 1, 8).tolist()


def test_other_inputs_definition_or_seed_find_nothing(kept: Goldens, tmp_path: Path) -> None:
    assert kept.find(CASE, {"x": "bb"}, tmp_path / "run") is None
    assert kept.find(replace(CASE, params={"size": 3}), INPUTS, tmp_path / "run") is None
    assert kept.find(replace(CASE, seed=9), INPUTS, tmp_path / "run") is None


def test_other_code_finds_nothing(kept: Goldens, tmp_path: Path) -> None:
    (tmp_path / "code" / "a.py").write_text("x = 2\n")
    assert Goldens(tmp_path / "cache", (tmp_path / "code",)).find(CASE, INPUTS, tmp_path / "run") is None


def test_a_broken_golden_is_not_used(kept: Goldens, tmp_path: Path) -> None:
    for path in kept.folder.rglob("recording.json"):
        path.write_text("{")
    assert kept.find(CASE, INPUTS, tmp_path / "run") is None


def test_altered_tensors_are_not_used(kept: Goldens, tmp_path: Path) -> None:
    for path in kept.folder.rglob("tensors.safetensors"):
        path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    assert kept.find(CASE, INPUTS, tmp_path / "run") is None


def test_a_failed_and_a_large_golden_are_not_kept(kept: Goldens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(CASE, seed=1)
    kept.keep(other, golden(tmp_path / "failed", status=Status.ERROR))
    monkeypatch.setattr(reference.cache, "LARGEST", 1000)
    kept.keep(other, golden(tmp_path / "large", size=1000))
    assert kept.find(other, INPUTS, tmp_path / "run") is None


def test_a_full_disk_is_no_error(kept: Goldens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    kept.keep(replace(CASE, seed=1), golden(tmp_path / "other"))
    assert kept.find(CASE, INPUTS, tmp_path / "run") is None


def test_what_other_versions_left_is_removed_when_it_takes_too_much_room(
    kept: Goldens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "cache" / "0123456789abcdef"
    old.mkdir()
    (old / "x").write_bytes(b"0" * 100)
    kept.tidy()
    assert old.exists()
    monkeypatch.setattr(reference.cache, "_ROOM", 10)
    kept.tidy()
    assert not old.exists()
    assert kept.folder.exists()
