"""What a check is given: the recordings of one case, and the protocol of a check. Knows no file and no outcome of its own."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from harness.case import Case
from harness.recording import Recording
from harness.verdict import Finding


class Sides(NamedTuple):
    """One output, or a part of it, as each side has it."""

    candidate: np.ndarray
    reference: np.ndarray
    golden: np.ndarray

    def first(self, rows: int) -> "Sides":
        """Return the first `rows` rows of each."""
        return Sides(self.candidate[:rows], self.reference[:rows], self.golden[:rows])

    def one_shape(self) -> bool:
        """Say whether all sides have the same shape."""
        return self.candidate.shape == self.reference.shape == self.golden.shape


@dataclass(frozen=True)
class Evidence:
    """The recordings of one case. `golden` is the float64 evaluation of the same rounded inputs, where the case has one."""

    case: Case
    candidate: Recording
    reference: Recording
    golden: Recording | None = None

    def sides(self, output: str) -> Sides | str:
        """Return an output as all three sides have it, or say which of them lacks it."""
        for side, recording in (("candidate", self.candidate), ("reference", self.reference), ("golden", self.golden)):
            if recording is None or output not in recording.tensors:
                return f"the {side} has no output {output!r}" if recording else "there is no float64 golden"
        assert self.golden is not None
        return Sides(self.candidate.tensors[output], self.reference.tensors[output], self.golden.tensors[output])

    def floating(self, only: tuple[str, ...] = ("*",)) -> list[str]:
        """Return the names of the candidate's floating outputs that match one of the patterns, in order of name."""
        return [
            name for name, array in sorted(self.candidate.tensors.items())
            if np.issubdtype(array.dtype, np.floating) and any(fnmatchcase(name, pattern) for pattern in only)
        ]  # fmt: skip


@runtime_checkable
class Check(Protocol):
    """A metric with its bound. Implementations are frozen dataclasses with JSON-able fields."""

    @property
    def name(self) -> str:
        """What its findings are filed under."""

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Judge one case."""
