"""Nights from start to end, with a suite that takes no time: exit statuses, repeats, interruptions, and what is said."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.errors import AssayError
from harness.history.store import Store
from harness.verdict import Outcome
from suites.nightly import commands
from suites.nightly.__main__ import COULD_NOT_RUN, GOOD, REGRESSION, WRONG_REQUEST, main
from suites.nightly.folder import unfinished
from tests.harness.history.runs import make_run

RELU = "operators/relu[float32]"


@dataclass
class Suite:
    """Stands for pytest: writes a Run with what a night has, and keeps what it was asked."""

    tmp: Path
    day: int = 0
    seconds: tuple[float, ...] = (0.0100, 0.0101, 0.0102)
    outcome: Outcome = Outcome.PASS
    driver: str = "25.1"
    fails: list[AssayError] = field(default_factory=list)
    asked: list[tuple[str, list[str]]] = field(default_factory=list)

    def measure(self, device: str, run: Path, log: Path, arguments: Sequence[str], cases: Sequence[str] = ()) -> None:
        self.asked.append((run.name, [*arguments, *sorted(cases)]))
        if self.fails:
            raise self.fails.pop()
        if not (run / "run.json").exists():
            made = f"2026-03-{self.day:02}T02:00:00+00:00"
            make_run(run, made, [s * (1 + self.day % 3 / 1000) for s in self.seconds], self.driver, self.outcome)

    def report(self, runs: Sequence[Path], page: Path) -> None:
        assert all((run / "run.json").exists() for run in runs)
        page.write_text("<html>")

    def night(self, *words: str) -> int:
        """Run a night, and return its exit status."""
        self.asked.clear()
        self.day += 1
        return main(["--store", str(self.tmp / "store"), "--work", str(self.tmp / "work"), "--device", "npu:0", *words])


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    made = Suite(tmp_path)
    monkeypatch.setattr(commands, "measure", made.measure)
    monkeypatch.setattr(commands, "report", made.report)
    monkeypatch.setattr(commands, "surroundings", lambda device: {"device": {"name": device, "versions": {"driver": made.driver}}})
    return made


def test_the_first_night_is_good_and_says_what_it_cannot_tell(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite.night("--label", "compiler=1a2b", "-m", "performance") == GOOD
    assert suite.asked == [("run", ["-m", "performance"])]
    said = capsys.readouterr().out
    assert "there is no earlier night of this machine" in said
    (entry,) = Store(str(suite.tmp / "store")).runs().entries
    assert entry.labels == {"compiler": "1a2b"}
    assert entry.id in said


def test_a_slow_down_is_repeated_confirmed_and_put_down_to_the_driver(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert [suite.night() for _ in range(15)] == [GOOD] * 15
    suite.seconds, suite.driver = (0.0140, 0.0141, 0.0142), "25.2"
    capsys.readouterr()
    assert suite.night("--case", RELU, "--case=performance/matmul[float32]", "-x") == REGRESSION
    assert suite.asked[1:] == [(str(i), ["-x", "performance/matmul[float32]"]) for i in (1, 2, 3)]
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0].startswith("REGRESSION: performance/matmul[float32] seconds: +39.6%")
    assert "with it came device driver: 25.1 -> 25.2" in last[0]
    assert last[1] == "night: 1 confirmed regressions"
    assert len(capsys.readouterr().out.splitlines()) < 40


def test_a_case_that_fails_twice_is_a_regression_at_once(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite.night() == GOOD
    suite.outcome = Outcome.FAIL
    assert suite.night() == REGRESSION
    assert f"REGRESSION: {RELU} outcome: fail, and pass on 2026-03-01" in capsys.readouterr().out
    assert suite.night("--accept", "*") == GOOD


def test_an_interrupted_night_is_gone_on_with_and_stored_once(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    suite.fails = [AssayError("the machine went down")]
    assert suite.night() == COULD_NOT_RUN
    (cut,) = unfinished(suite.tmp / "work")
    assert suite.night("--unfinished") == GOOD
    assert str(cut.path) in capsys.readouterr().out
    assert unfinished(suite.tmp / "work") == []
    assert suite.night("--unfinished") == GOOD
    assert "nothing to finish" in capsys.readouterr().out
    assert len(Store(str(suite.tmp / "store")).runs().entries) == 1


def test_what_could_not_be_stored_is_stored_later(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def down(*_: object) -> None:
        raise AssayError("s3://bucket: storing a Run failed")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "publish", down)
        assert suite.night() == COULD_NOT_RUN
    suite.driver = "25.2"  # so that it is another night
    assert suite.night() == GOOD
    assert "stored late" in capsys.readouterr().out
    assert len(Store(str(suite.tmp / "store")).runs().entries) == 2


@pytest.mark.parametrize("words", [["--label", "compiler"], ["--repeats", "0"], ["--store", "carrier-pigeon://loft"]])
def test_a_wrong_request_is_one_line(suite: Suite, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert suite.night(*words) == WRONG_REQUEST
    assert capsys.readouterr().err.count("\n") == 1
    assert suite.asked == []


def test_a_wrong_selection_is_a_wrong_request(suite: Suite) -> None:
    suite.fails = [commands.WrongRequestError("pytest: no case 'x'")]
    assert suite.night() == WRONG_REQUEST
    assert unfinished(suite.tmp / "work") == []


def test_a_second_night_at_once_could_not_run(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    inner: list[int] = []
    first: Callable[..., None] = suite.measure
    monkeypatch.setattr(commands, "measure", lambda *a: (inner.append(suite.night()), first(*a)) if not inner else first(*a))
    assert suite.night() == GOOD
    assert inner == [COULD_NOT_RUN]


def test_a_damaged_night_in_the_store_is_told_and_passed_over(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    suite.night()
    (seal,) = (suite.tmp / "store").glob("runs/*/seal.json")
    seal.write_text(seal.read_text().replace('"pass": 3', '"pass": 9'))
    assert suite.night() == GOOD
    assert "trouble: " in capsys.readouterr().out


def test_pytest_that_cannot_run_is_told_by_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AssayError, match="exit status 1; all of it is in"):
        commands.measure("cpu", tmp_path / "run", tmp_path / "log", [])


def test_an_unknown_device_is_a_wrong_request() -> None:
    with pytest.raises(commands.WrongRequestError, match="abacus"):
        commands.surroundings("abacus")
