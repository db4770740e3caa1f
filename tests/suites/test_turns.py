"""Both sides in one call of pytest-benchmark, each recorded from within the other, and who is to blame for what."""

from functools import partial
from itertools import count
from pathlib import Path

import pytest
import torch

from harness.case import Case, Step
from harness.devices import open_device
from harness.inputs import Inputs
from harness.recorder import Recorder
from harness.recording import Recording, Status
from harness.rounds import Budget
from harness.run import Run
from suites.turns import Side, record

BRIEF = Budget(seconds=0.2, least=10, most=10)
CALLS: list[str] = []


def case(side: str, fails_at: int | None = None, fails_in_set_up: bool = False) -> Case:
    numbers = count()

    def workload(inputs: Inputs, /) -> Step:
        if fails_in_set_up:
            raise RuntimeError(f"{side} cannot be set up")

        def call() -> dict[str, torch.Tensor]:
            CALLS.append(side)
            number = next(numbers)
            if number == fails_at:
                raise RuntimeError(f"{side} fails in round {number}")
            return {"loss": torch.tensor(float(number))}

        return Step(call, series=("loss",))

    return Case("performance/x[float32]", "performance", workload, "float32", (), rounds=3)


def timed(folder: Path, benchmark, candidate: Case, reference: Case, shared: bool = True, budget: Budget = BRIEF) -> dict[str, Recording]:
    CALLS.clear()
    device = open_device("cpu")
    sides = []
    for name, one in (("candidate", candidate), ("reference", reference)):
        recorder = Recorder(Run.create(folder / name, "cpu"), "cpu")
        sides.append(Side(name, device, partial(recorder.record_here, one, device), shared))
    return record(candidate, sides, benchmark, budget)


def test_rounds_are_taken_in_turn_and_timed_by_pytest_benchmark(tmp_path: Path, benchmark) -> None:
    found = timed(tmp_path, benchmark, case("candidate"), case("reference"))
    order = " ".join(found["candidate"].details["timing"]["order"]).split()
    assert [*CALLS] == ["candidate", "candidate", *order]  # two before there is another side, for the memory that one needs
    assert len(order) == 20
    sides = [len(side.seconds) + len(side.details["timing"].get("before", ())) for side in found.values()]
    assert sides == [10, 10]
    assert list(found["candidate"].seconds) == benchmark.stats.stats.data
    assert "median of the reference" in benchmark.extra_info


def test_outputs_are_those_of_the_first_rounds_however_many_are_timed(tmp_path: Path, benchmark) -> None:
    found = timed(tmp_path, benchmark, case("candidate"), case("reference"))
    assert found["candidate"].tensors["loss"].tolist() == [0, 1, 2]
    assert found["reference"].tensors["loss"].tolist() == [0, 1, 2]


def test_a_slow_case_still_has_the_outputs_that_are_compared(tmp_path: Path, benchmark) -> None:
    """Both sides have equally many, though one was called before there was another."""
    found = timed(tmp_path, benchmark, case("candidate"), case("reference"), budget=Budget(seconds=0.0))
    assert [len(side.tensors["loss"]) for side in found.values()] == [3, 3]
    assert [len(side.seconds) for side in found.values()] == [4, 4]


def test_of_one_device_only_the_first_side_can_tell_its_memory(tmp_path: Path, benchmark) -> None:
    found = timed(tmp_path, benchmark, case("candidate"), case("reference"))
    assert found["candidate"].memory["resident_peak"] > 0
    assert found["reference"].memory == {}


def test_two_devices_have_a_memory_each(tmp_path: Path, benchmark) -> None:
    found = timed(tmp_path, benchmark, case("candidate"), case("reference"), shared=False)
    assert all(side.memory["resident_peak"] > 0 for side in found.values())


@pytest.mark.parametrize("bad", ["candidate", "reference"])
@pytest.mark.parametrize("where", [{"fails_at": 4}, {"fails_in_set_up": True}])
def test_the_side_that_fails_is_the_one_to_blame(tmp_path: Path, benchmark, bad: str, where: dict) -> None:
    sides = {name: case(name, **(where if name == bad else {})) for name in ("candidate", "reference")}
    found = timed(tmp_path, benchmark, sides["candidate"], sides["reference"])
    good = next(name for name in sides if name != bad)
    assert found[bad].status is Status.ERROR
    assert bad in found[bad].message
    assert found[good].status is Status.OK
    assert len(found[good].seconds) == 10


def test_with_benchmarks_disabled_nothing_is_timed_and_outputs_are_kept(tmp_path: Path, benchmark, monkeypatch) -> None:
    monkeypatch.setattr(benchmark, "disabled", True)
    found = timed(tmp_path, benchmark, case("candidate"), case("reference"), shared=False)
    assert [side.seconds for side in found.values()] == [(), ()]
    assert [side.status for side in found.values()] == [Status.OK, Status.OK]
    assert all(len(side.tensors["loss"]) == 3 for side in found.values())
    benchmark.pedantic(lambda: None)  # or else the fixture complains that it was not used
