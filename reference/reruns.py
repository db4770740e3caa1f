"""Perturbed reruns of a training case on the device that a Run is of: made, or read where they were recorded. Knows no check.

They lie inside that Run, in `reruns/perturbed-1` and so on, as the goldens lie in `golden`: the Run of a GPU has all that a comparison
needs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.case import Case
from harness.errors import AssayError
from harness.manner import PERTURBED, Manner
from harness.recorder import Recorder
from harness.recording import Recording, Status
from harness.run import Run


def made(recorder: Recorder, case: Case) -> list[Recording]:
    """Return the reruns that `case.band` asks for, made on the recorder's device unless they are finished; those that succeeded."""
    found = []
    for manner in _asked(case):
        run = recorder.run.nested(_name(manner), recorder.device)
        again = Recorder(run, recorder.device, manner, worker=recorder.worker)
        found.append(again.record(replace(case, fresh=False)))  # nobody asks for the memory of a rerun
    return [recording for recording in found if recording.status is Status.OK]


def recorded(run: Run, case: Case) -> list[Recording]:
    """Return the reruns that a Run has of a case; none from a Run of a version that made none, or where they are broken."""
    found = []
    for manner in _asked(case):
        folder = run.folder / _name(manner)
        try:
            recording = Run.open(folder).recording(case.id) if Path(folder).is_dir() else None
        except AssayError:
            continue
        if recording and recording.status is Status.OK:
            found.append(recording)
    return found


def _asked(case: Case) -> Sequence[Manner]:
    return PERTURBED[: case.band]


def _name(manner: Manner) -> str:
    return f"reruns/{manner}"
