"""The Run folder."""

from pathlib import Path

import pytest

from harness.errors import AssayError
from harness.recording import Status
from harness.run import Run
from harness.verdict import Finding, Outcome, Verdict
from tests.harness.test_recording import CASE, recording


def test_a_run_holds_recordings_and_verdicts(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", "cpu")
    run.write(recording(status=Status.ERROR, message="no"), {})
    finding = Finding("closeness", "out rms", Outcome.FAIL, float("inf"), 2.0, "u", low=None)
    run.write_verdict(Verdict(CASE.id, CASE.area, CASE.dtype, Outcome.FAIL, "bad", (finding,), CASE.definition(), {}, "pytest"))
    again = Run.open(tmp_path / "r")
    assert [r.case for r in again.recordings()] == [CASE.id]
    assert next(iter(again.verdicts())).findings == (finding,)
    assert again.verdict("no such case") is None


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    Run.create(tmp_path / "r", "cpu")
    with pytest.raises(AssayError, match="--resume"):
        Run.create(tmp_path / "r", "cpu")
    assert Run.create(tmp_path / "r", "cpu", resume=True).manifest["device"] == "cpu"


def test_a_run_is_resumed_on_its_own_device(tmp_path: Path) -> None:
    Run.create(tmp_path / "r", "cuda:0")
    with pytest.raises(AssayError, match="was made on cuda:0, not cpu"):
        Run.create(tmp_path / "r", "cpu", resume=True)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": 2}'])
def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(AssayError) as caught:
        Run.open(tmp_path)
    assert "\n" not in str(caught.value)
    assert "run.json" in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="nowhere: no such folder"):
        Run.open(tmp_path / "nowhere")


def test_an_environment_is_stored_once(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", "cpu")
    assert run.add_environment({"a": 1}) == run.add_environment({"a": 1})
    assert len(Run.open(tmp_path / "r").manifest["environments"]) == 1


def test_the_catalogue_says_what_there_is_and_an_older_run_says_nothing(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", "cpu")
    assert run.catalogue() == {}
    run.describe_catalogue({"operators/a[float32]": "ab" * 32})
    run.describe_catalogue({"operators/a[float32]": "ab" * 32, "operators/b[float32]": "cd" * 32})
    assert Run.open(tmp_path / "r").catalogue() == {"operators/a[float32]": "ab" * 32, "operators/b[float32]": "cd" * 32}


def test_a_message_that_no_text_can_hold_is_read_all_the_same(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", "cpu")
    run.write_verdict(Verdict("operators/a[float32]", "operators", "float32", Outcome.ERROR, "byte \udce9 of a driver"))
    assert next(run.verdicts()).message == "byte \udce9 of a driver"
