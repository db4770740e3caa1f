"""One case: both directions and the growth, and honest notes where the workload or the time ends early."""

import pytest

from harness.devices import open_device
from harness.localise.localise import Localisation, localise
from harness.localise.result import write
from tests.harness.localise.workloads import BY_NAME

CPU = open_device("cpu")


def found(workload: str, seconds: float = 60.0) -> tuple[Localisation, list[str]]:
    told: list[str] = []
    return localise(BY_NAME[workload], CPU, CPU, seconds, told.append), told


def test_a_workload_that_raises_is_a_note() -> None:
    notes = found("raising")[0].notes
    assert notes[0] == "driven by cpu, it did not come to its end: ValueError: the width is 3"
    assert notes[1] == "the growth from module to module is not known: ValueError: the width is 3"


def test_time_that_is_over_is_a_note_and_what_was_compared_stands(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("harness.localise.lockstep.time.monotonic", lambda: float(next(clock)))
    result, _ = found("trained", 30.0)
    document = write(result, tmp_path / "x")
    assert 0 < document["passes"][0]["seen"] < 40
    assert document["growth"] == []
    assert "the time allowed was over after" in document["conclusion"]


def test_progress_names_the_operators() -> None:
    told = found("trained")[1]
    assert told[0] == "setting up on cpu"
    assert any(line.endswith("aten::_softmax (forward, 1)") for line in told)
    assert told[-1] == "both sides freely, module by module"
