"""A case of inference, judged on the CPU against itself and float64, without any file."""

from harness.case import Case
from harness.devices import open_device
from harness.judge import judge
from harness.manner import Manner
from harness.measure import measure
from harness.recording import Recording
from harness.verdict import Verdict


class Held(Recording):
    """A recording whose arrays are in memory."""


def recorded(case: Case, manner: Manner = Manner.PLAIN) -> Recording:
    recording, arrays = measure(case, open_device("cpu"), manner=manner)
    held = Held(**vars(recording))
    held.__dict__["tensors"] = arrays
    return held


def judged(case: Case, candidate: Recording | None = None) -> Verdict:
    """Judge a case with what the CPU records of it now, or with a candidate recorded before."""
    reference = recorded(case)
    return judge(case, candidate or reference, reference, recorded(case, Manner.GOLDEN) if case.golden else None)


def case_of(cases, name: str) -> Case:
    return next(case for case in cases if case.id == f"inference/{name}[float32]")
