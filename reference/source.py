"""Where expected recordings come from: `Live` device, `Recorded` run, `Golden` in float64. Knows no check and no suite."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from harness.case import Case
from harness.digests import differing
from harness.recorder import Recorder
from harness.recording import Recording, Status
from harness.run import Run
from reference.cache import Goldens


class Reference(Protocol):
    """Anything that can say what was to be expected."""

    def expected(self, case: Case) -> Recording | str:
        """Return the reference's recording of a case, or one sentence that says why there is none."""
        ...


class Live:
    """A device in this machine, recorded as the candidate is."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def expected(self, case: Case) -> Recording | str:
        """Record the case now, in a worker process, or reuse a finished recording."""
        return self.recorder.record(case)


class Recorded:
    """A Run made earlier, here or elsewhere. Broken or altered recordings are reported, never used."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def expected(self, case: Case) -> Recording | str:
        """Return the recording, or say that the run has none. Raises AssayError for a broken or altered one."""
        return self.run.recording(case.id) or f"{self.run.folder} has no recording of {case.id}; record it there with the same version"


class Golden:
    """The float64 evaluation of a case on the host; one that was shipped with a recorded reference, or kept, serves for the same inputs."""

    def __init__(self, recorder: Recorder, shipped: Path | None = None, kept: Goldens | None = None) -> None:
        self._recorder, self._kept = recorder, kept
        self._shipped = Run.open(shipped) if shipped and shipped.is_dir() else None

    def expected(self, case: Case, inputs: Mapping[str, str]) -> Recording | None:
        """Return the golden recording of a case, or None for a case without. `inputs` are the digests it must have been made from."""
        if not case.golden:
            return None
        shipped = self._shipped.recording(case.id) if self._shipped else None
        if shipped and shipped.status is Status.OK and not differing(shipped.inputs, inputs):
            return shipped
        if self._kept is None or not case.probed or self._recorder.finished(case):
            return self._recorder.record(case)
        if found := self._kept.find(case, inputs, self._recorder.run.folder):
            return found
        golden = self._recorder.record(case)
        self._kept.keep(case, golden)
        return golden
