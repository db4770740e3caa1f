"""Judges cases under a mutant, by the same Session that a user's run has, in this process. Knows no mutant and no score."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import environment
from harness.case import Case
from harness.devices import Device, open_device
from harness.isolate import Request as Work
from harness.isolate import Worker, find_case
from harness.manner import Manner
from harness.measure import measure
from harness.recording import write_recording
from harness.verdict import FAILING, Verdict
from suites.mutation.wrapper import Mutant, Seeded, seeded
from suites.session import Request, Session


class Here(Worker):
    """A worker that is this process: it records what it is asked for, under `mode` where one is set."""

    def __init__(self, device: Device) -> None:
        super().__init__(device.name, Path())
        self._device, self._described = device, {"host": environment.describe(), "device": device.describe()}
        self.mode: Seeded | None = None

    def environment(self) -> dict[str, Any]:
        """Return the environment block of this process."""
        return self._described

    def run(self, request: Work, timeout: float, progress: Callable[[int], None] | None = None) -> None:
        """Record one case; there is no time limit. Raises AssayError and OSError, not WorkerDied: a crash ends this process."""
        case = find_case(request.module, request.case, request.params, request.seed)
        case = seeded(case, self.mode) if self.mode else case
        recording, arrays = measure(case, self._device, environment=request.environment, manner=Manner(request.manner))
        write_recording(Path(request.folder), recording, arrays)

    def stop(self) -> None:
        """Do nothing: there is no process to end."""


class Bench(Session):
    """A session against the CPU, live, whose candidate can be given a mutant; its references and goldens are recorded once."""

    def __init__(self, device: str, folder: Path, cases: Mapping[str, Case]) -> None:
        super().__init__(Request(device, "cpu", folder, False, "default"), cases)
        self._here, host = Here(open_device(device)), Here(open_device("cpu"))
        self.candidate.worker = self._here
        self._golden_recorder.worker = host
        assert self.live is not None
        self.live.worker = host
        self._sound: dict[str, bool] = {}

    def operators(self, case: Case) -> tuple[frozenset[str], float]:
        """Return which operators the case reaches on the candidate's device, and the seconds of processor time that this took."""
        mode, begun = Seeded(None), time.process_time()
        measure(seeded(case, mode), open_device(self.request.device))
        return frozenset(mode.seen), time.process_time() - begun

    def sound(self, case: Case) -> bool:
        """Say whether the case does not fail without a mutant; if it does, it can tell nothing about one."""
        if case.id not in self._sound:
            self._sound[case.id] = self.under(None, case).verdict.outcome not in FAILING
        return self._sound[case.id]

    def under(self, mutant: Mutant | None, case: Case) -> "Judged":
        """Judge the case while the candidate is under a mutant, appeal included."""
        self._forget()
        self._here.mode = Seeded(mutant) if mutant else None
        try:
            verdict = self.verdict(case)
            mode = self._here.mode
            return Judged(verdict, sum(mode.struck.values()) if mode else 0, tuple(mode.stumbled) if mode else ())
        finally:
            self._here.mode = None

    def _forget(self) -> None:
        """Remove what the candidate recorded, for the first judgement and for appeals."""
        shutil.rmtree(self.run.folder / "recordings", ignore_errors=True)
        for folder in (self.run.folder / "appeal").glob("candidate-*"):
            shutil.rmtree(folder)


@dataclass(frozen=True)
class Judged:
    """A verdict under a mutant, how many calls the mutant replaced, and at which it stumbled over its own defects."""

    verdict: Verdict
    struck: int
    stumbled: tuple[str, ...]
