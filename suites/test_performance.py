"""What does it cost? Both sides take turns, pytest-benchmark is the stopwatch, raw rounds go into the Run. Knows no workload."""

from collections.abc import Callable
from functools import partial

import pytest

from harness.case import Case
from harness.devices import Device, open_device
from harness.measure import Stopwatch, device_stopwatch
from harness.recorder import Recorder
from harness.rounds import Budget
from harness.verdict import Verdict
from suites import turns
from suites.session import Session


@pytest.mark.performance
def test_performance(case: Case, assay: Session, settle: Callable[[Verdict], None], request: pytest.FixtureRequest) -> None:
    """Time the case in this process, on the candidate and, where it is in this machine too, on the reference in turn with it."""
    recorders = {"candidate": assay.candidate, **({"reference": assay.live} if assay.live else {})}
    if not all(recorder.finished(case) for recorder in recorders.values()):  # half of a pair that was taken in turn is none
        devices = {name: open_device(recorder.device) for name, recorder in recorders.items()}
        if case.rounds == 1 or any(open_device(recorder.device).emulated for recorder in recorders.values()):
            for name, recorder in recorders.items():
                recorder.record_here(case, devices[name], _brief(devices[name], 2 if assay.live else case.rounds))
        else:
            turns.record(
                case, _sides(case, recorders, devices), request.getfixturevalue("benchmark"), Budget(request.config.getoption("--budget"))
            )
    recording = assay.candidate.finished(case) or assay.candidate.run.recording(case.id)
    assert recording is not None
    settle(assay.judge(case, recording))


def _sides(case: Case, recorders: dict[str, Recorder], devices: dict[str, Device]) -> list[turns.Side]:
    shared = len(recorders) > len({device.name for device in devices.values()})
    return [
        turns.Side(name, devices[name], partial(recorder.record_here, case, devices[name]), shared) for name, recorder in recorders.items()
    ]


def _brief(device: Device, most: int) -> Stopwatch:
    """At most so many rounds: a case that takes its own times is called once, and where a side is emulated no time is shown.

    Its memory is the workload's, and the second round has the peak. With a recorded reference every round is run, as it was there.
    """
    return lambda one_round, rounds: device_stopwatch(device)(one_round, min(rounds, most))
