"""Records cases into a Run, in a worker process or here, and reuses what an interrupted run has finished. Knows no reference."""

from collections.abc import Callable

from harness.case import Case
from harness.devices import Device
from harness.environment import describe
from harness.isolate import Worker, record_in
from harness.manner import Manner
from harness.measure import Stopwatch, measure
from harness.recording import Recording, Status
from harness.run import Run

_FINISHED = (Status.OK, Status.UNSUPPORTED)


class Recorder:
    """Fills one Run on one device, every case in one manner. Recorders of one device may share a worker process."""

    def __init__(
        self,
        run: Run,
        device: str,
        manner: Manner = Manner.PLAIN,
        progress: Callable[[Case, int], None] | None = None,
        worker: Worker | None = None,
    ) -> None:
        self.run, self.device, self.manner, self._progress = run, device, manner, progress
        self.worker = worker or Worker(device, run.folder / "worker.log")

    def finished(self, case: Case) -> Recording | None:
        """Return a finished recording of just this case and definition, if the run holds one. Raises AssayError if it is broken."""
        recording = self.run.recording(case.id)
        return recording if recording and recording.key == case.key() and recording.status in _FINISHED else None

    def record(self, case: Case) -> Recording:
        """Return the recording of `case`, made in the worker process unless it is finished already."""
        if done := self.finished(case):
            return done
        if case.fresh:
            self.worker.stop()
        digest = self.run.add_environment(self.worker.environment())
        progress = self._progress
        record_in(
            self.worker, case, self.run.folder / "recordings", digest, self.manner,
            (lambda rounds: progress(case, rounds)) if progress else None,
        )  # fmt: skip
        if case.fresh:
            self.worker.stop()
        recording = self.run.recording(case.id)
        assert recording is not None
        return recording

    def record_here(self, case: Case, device: Device, stopwatch: Stopwatch) -> Recording:
        """Return the recording of `case`, made anew in this process under `stopwatch`."""
        digest = self.run.add_environment({"host": describe(), "device": device.describe()})
        recording, arrays = measure(case, device, environment=digest, stopwatch=stopwatch)
        return self.run.write(recording, arrays)

    def close(self) -> None:
        """Stop the worker."""
        self.worker.stop()
