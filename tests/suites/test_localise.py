"""By hand and after a verdict: what is localised, what is not, and wrong requests in one line."""

from pathlib import Path

import pytest

from harness.recording import read_json
from harness.verdict import Outcome, Verdict
from suites import localise
from suites.catalogue import all_cases
from suites.session import Request

CASE = "operators/softmax-strided[float32]"


def request_for(tmp_path: Path, reference: str | Path = "cpu") -> Request:
    return Request("cpu", reference, tmp_path / "run", True, "default")


def test_by_hand_a_sound_device_has_no_offender_and_the_result_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert localise.main(["--case", CASE, "--device", "cpu", "--run", str(tmp_path / "run")]) == 0
    assert "no single operator is off by itself" in capsys.readouterr().out
    (path,) = (tmp_path / "run" / "localised").glob("*.json")
    assert read_json(path)["case"] == CASE


@pytest.mark.parametrize(
    ("option", "words"), [(["--device", "tpu:0"], "tpu"), (["--case", "operators/softmix[float32]"], "the nearest is")]
)
def test_a_wrong_request_is_one_line(option: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert localise.main(["--case", CASE, *option]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_a_recorded_reference_cannot_be_fed(tmp_path: Path) -> None:
    (line,) = localise.localise(all_cases()[CASE], request_for(tmp_path, tmp_path / "h100"))
    assert line.startswith("not localised: the reference is the recorded run h100")
    assert list((tmp_path / "run" / "localised").glob("*.json"))


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_what_an_operator_can_cause_is_localised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> None:
    monkeypatch.setattr(localise, "localise", lambda *_: ["found"])
    verdict = Verdict(CASE, "operators", "float32", outcome)
    lines = localise.explained(verdict, all_cases()[CASE], request_for(tmp_path))
    assert lines == (["  localised: found"] if outcome in (Outcome.FAIL, Outcome.ERROR) else [])


def test_a_timing_is_not_localised(tmp_path: Path) -> None:
    case = next(c for c in all_cases().values() if c.area == "performance")
    assert localise.explained(Verdict(case.id, case.area, case.dtype, Outcome.FAIL), case, request_for(tmp_path)) == []
