"""The stored mutation score: read where it is, empty where it is not, and copied into every Run."""

import json
from pathlib import Path

import pytest

from harness.run import Run
from reference import mutation
from suites.session import Session, parse


def test_nothing_is_stored_where_it_was_never_measured(tmp_path: Path) -> None:
    assert mutation.stored(tmp_path / "none.json") == {}


def test_what_is_stored_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"line": "mutation: caught 1/1, alarms 0/1, cause right 1/1"}))
    assert mutation.stored(tmp_path / "m.json")["line"].startswith("mutation: caught 1/1")


def test_a_session_copies_it_into_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "stored", lambda: {"line": "x", "rows": []})
    Session(parse("cpu", "cpu", str(tmp_path / "r"), False, "default"), {}).close()
    assert Run.open(tmp_path / "r").manifest["mutation"] == {"line": "x", "rows": []}
