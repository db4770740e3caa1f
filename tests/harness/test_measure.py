"""What is kept of the rounds, and what a failure becomes."""

import numpy as np

from harness.devices import open_device
from harness.manner import Manner
from harness.measure import measure
from harness.recording import Status
from tests.harness.odd_workloads import BY_NAME


def test_series_are_stacked_and_the_rest_is_of_the_first_round() -> None:
    recording, arrays = measure(BY_NAME["operators/counting[float32]"], open_device("cpu"))
    assert arrays["loss"].tolist() == [1, 2, 3]
    assert arrays["once"] == 1
    assert arrays["last"] == 3
    assert len(recording.seconds) == 3
    assert (recording.work, recording.unit) == (8, "tokens")


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
    def stopwatch(one_round, rounds: int, warmup: int) -> list[float]:
        for _ in range(warmup + rounds):
            one_round()
        return [0.125] * rounds

    recording, _arrays = measure(BY_NAME["operators/counting[float32]"], open_device("cpu"), stopwatch=stopwatch)
    assert recording.seconds == (0.125,) * 3


def test_memory_is_measured() -> None:
    recording, _ = measure(BY_NAME["operators/well_behaved[float32]"], open_device("cpu"))
    assert recording.memory["resident_peak"] > 1 << 20


def test_what_a_case_raises_becomes_its_status() -> None:
    recording, arrays = measure(BY_NAME["operators/wrong[float32]"], open_device("cpu"))
    assert recording.status is Status.ERROR
    assert not arrays
    assert "odd_workloads.py" in recording.message
