"""What does it cost? pytest-benchmark is the stopwatch; the raw rounds go into the Run. Knows no workload."""

from collections.abc import Callable

import pytest

from harness.case import Case
from harness.devices import Device, open_device
from harness.measure import Stopwatch, device_stopwatch
from harness.verdict import Verdict
from suites.session import Session


@pytest.mark.performance
def test_performance(case: Case, role: str, assay: Session, settle: Callable[[Verdict], None], request: pytest.FixtureRequest) -> None:
    """Time the case in this process, on the reference or on the candidate; with the candidate comes the verdict."""
    recorder = assay.live if role == "reference" else assay.candidate
    assert recorder is not None
    recording = recorder.finished(case)
    if recording is None:
        device = open_device(recorder.device)
        emulated = any(open_device(side.device).emulated for side in (assay.candidate, assay.live) if side)
        most = 2 if assay.live else case.rounds
        recording = recorder.record_here(case, device, _brief(device, most) if emulated else _stopwatch(request, case, device))
    if role == "candidate":
        settle(assay.judge(case, recording))


def _brief(device: Device, most: int) -> Stopwatch:
    """No warm-up and at most so many rounds: where a side is emulated no time is shown.

    Its memory is the workload's, and the second round has the peak. With a recorded reference every round is run, as it was there.
    """
    return lambda one_round, rounds, warmup: device_stopwatch(device)(one_round, min(rounds, most), 0)


def _stopwatch(request: pytest.FixtureRequest, case: Case, device: Device) -> Stopwatch:
    benchmark = request.getfixturevalue("benchmark")
    benchmark.group = case.id

    def run(one_round: Callable[[], None], rounds: int, warmup: int) -> list[float]:
        def synchronized() -> None:
            one_round()
            device.synchronize()

        benchmark.pedantic(synchronized, rounds=rounds, warmup_rounds=warmup, iterations=1)
        return list(benchmark.stats.stats.data) if benchmark.stats else []

    return run
