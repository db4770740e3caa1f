"""Recordings on disk: atomic, sealed, refused when broken."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from harness.errors import AssayError
from harness.recording import Recording, Status, read_recording, slug, write_json, write_recording
from tests.harness.odd_workloads import BY_NAME

CASE = BY_NAME["operators/well_behaved[float32]"]


def recording(**changes) -> Recording:
    values = {
        "definition": CASE.definition(),
        "key": CASE.key(),
        "area": CASE.area,
        "device": "cpu",
        "environment": "e",
        "status": Status.OK,
    }
    return Recording(**values | changes)


def write(folder: Path) -> Recording:
    tensors = {"out": np.arange(12, dtype=np.float32).reshape(3, 4).T, "loss": np.array([1.5, np.nan])}
    return write_recording(folder, recording(seconds=(0.5, 0.25), dtypes={"out": "float32"}, series=("loss",)), tensors)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    again = read_recording(write(tmp_path).folder)
    assert again.status is Status.OK
    assert again.seconds == (0.5, 0.25)
    assert again.case == CASE.id
    assert np.array_equal(again.tensors["out"], np.arange(12, dtype=np.float32).reshape(3, 4).T)
    assert np.isnan(again.tensors["loss"][1])


def test_an_altered_tensor_is_refused(tmp_path: Path) -> None:
    made = write(tmp_path)
    path = made.folder / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AssayError, match=r"altered or truncated.*record this case again"):
        _ = read_recording(made.folder).tensors


def test_a_truncated_tensors_file_is_refused(tmp_path: Path) -> None:
    made = write(tmp_path)
    path = made.folder / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(AssayError, match="truncated"):
        _ = read_recording(made.folder).tensors


def test_an_altered_document_is_refused(tmp_path: Path) -> None:
    made = write(tmp_path)
    path = made.folder / "recording.json"
    path.write_text(path.read_text().replace("0.25", "0.24"))
    with pytest.raises(AssayError, match="altered"):
        read_recording(made.folder)


def test_a_truncated_document_is_refused(tmp_path: Path) -> None:
    made = write(tmp_path)
    path = made.folder / "recording.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(AssayError, match="cannot be read"):
        read_recording(made.folder)


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    made = write(tmp_path)
    path = made.folder / "recording.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"format": 99}))
    with pytest.raises(AssayError, match="format 99, this version reads 1"):
        read_recording(made.folder)


def test_a_failed_write_leaves_the_older_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.recording.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path)
    assert read_recording(made.folder).seconds == (0.5, 0.25)
    assert [p.name for p in tmp_path.iterdir()] == [made.folder.name]


def test_non_finite_numbers_are_strict_json(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [float("nan"), float("inf")]})
    assert json.loads((tmp_path / "x.json").read_text())["a"] == ["nan", "inf"]


def test_what_safetensors_says_of_a_full_disk_is_an_oserror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr("harness.recording.save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@given(a=st.text(min_size=1, max_size=200), b=st.text(min_size=1, max_size=200))
def test_slugs_are_safe_and_distinct(a: str, b: str) -> None:
    assert "/" not in slug(a)
    assert len(slug(a)) < 120
    assert (slug(a) == slug(b)) == (a == b)
