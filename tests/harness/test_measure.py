"""What is kept of the rounds, and what a failure becomes."""

import numpy as np
import pytest
import torch

from harness.case import Case, Step
from harness.devices import open_device
from harness.inputs import Inputs
from harness.manner import Manner
from harness.measure import measure
from harness.recording import Status
from harness.rounds import Rounds
from tests.harness.odd_workloads import BY_NAME


def test_series_are_stacked_and_the_rest_is_of_the_first_round() -> None:
    recording, arrays = measure(BY_NAME["operators/counting[float32]"], open_device("cpu"))
    assert arrays["loss"].tolist() == [1, 2, 3]
    assert arrays["once"] == 1
    assert arrays["last"] == 3
    assert len(recording.seconds) == 3
    assert (recording.work, recording.unit) == (8, "tokens")


@pytest.mark.parametrize("rounds", [1, 255, 256, 257, 600])
def test_long_series_are_whole(rounds: int) -> None:
    """They are put together in blocks while the rounds run."""
    count = iter(range(rounds))

    def counting(inputs: Inputs, /) -> Step:
        def call() -> dict[str, torch.Tensor]:
            now = float(next(count))
            return {"loss": torch.tensor(now), "norms": torch.tensor([now, -now])}

        return Step(call, series=("loss", "norms"))

    case = Case("operators/long[float32]", "operators", counting, "float32", (), rounds=rounds)
    _, arrays = measure(case, open_device("cpu"))
    assert arrays["loss"].tolist() == list(range(rounds))
    assert arrays["norms"].shape == (rounds, 2)
    assert arrays["norms"][-1].tolist() == [rounds - 1, 1 - rounds]


def test_half_floats_are_stored_exactly_with_their_name() -> None:
    recording, arrays = measure(BY_NAME["operators/well_behaved[bfloat16]"], open_device("cpu"))
    assert recording.dtypes["out"] == "bfloat16"
    assert arrays["out"].dtype == np.float32


def test_golden_and_device_have_the_same_inputs() -> None:
    case = BY_NAME["operators/well_behaved[bfloat16]"]
    device, golden = (measure(case, open_device("cpu"), manner=m)[0] for m in (Manner.PLAIN, Manner.GOLDEN))
    assert device.inputs == golden.inputs
    assert golden.dtypes["out"] == "float64"


def test_a_stopwatch_decides_how_often() -> None:
    def stopwatch(one_round, rounds: int) -> Rounds:
        for _ in range(rounds + 2):
            one_round()
        return Rounds((0.125,) * rounds, (0.25, 0.25), {"state": "warm-up"}, {"allocated_peak": 7})

    recording, arrays = measure(BY_NAME["operators/counting[float32]"], open_device("cpu"), stopwatch=stopwatch)
    assert recording.seconds == (0.125,) * 3
    assert recording.details["timing"] == {"state": "warm-up", "before": [0.25, 0.25]}
    assert recording.memory == {"allocated_peak": 7}
    assert len(arrays["loss"]) == 3  # of so many rounds the outputs are kept, however many are timed


def test_memory_is_measured() -> None:
    recording, _ = measure(BY_NAME["operators/well_behaved[float32]"], open_device("cpu"))
    assert recording.memory["resident_peak"] > 1 << 20


def test_what_a_case_raises_becomes_its_status() -> None:
    recording, arrays = measure(BY_NAME["operators/wrong[float32]"], open_device("cpu"))
    assert recording.status is Status.ERROR
    assert not arrays
    assert "odd_workloads.py" in recording.message
