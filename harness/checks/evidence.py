"""What a check is given: the recordings of one case, and the protocol of a check. Knows no file and no outcome of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol, runtime_checkable

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


MANY = 16  # outputs from which one finding stands for all that pass


@dataclass(frozen=True)
class Evidence:
    """The recordings of one case. `golden` is the float64 evaluation of the same rounded inputs, where the case has one.

    `accepted` are other forms of the computation that are as sound as the reference (see `harness.forms`), `moved` float64
    evaluations of inputs that were moved by one roundoff: both are there only when a first judgement was in doubt. `reruns` are of the
    reference device, with inputs and initial weights moved by up to one roundoff: they tell how far apart sound training runs lie.
    """

    case: Case
    candidate: Recording
    reference: Recording
    golden: Recording | None = None
    accepted: Sequence[Recording] = ()
    moved: Sequence[Recording] = ()
    reruns: Sequence[Recording] = ()

    def sides(self, output: str) -> Sides | str:
        """Return an output as all three sides have it, or say which of them lacks it."""
        plain = plain_name(output)
        for side, recording in (("candidate", self.candidate), ("reference", self.reference), ("golden", self.golden)):
            if recording is None or (output if side == "candidate" else plain) not in recording.tensors:
                return f"the {side} has no output {output!r}" if recording else "there is no float64 golden"
        assert self.golden is not None
        return Sides(self.candidate.tensors[output], self.reference.tensors[plain], self.golden.tensors[plain])

    def floating(self, only: tuple[str, ...] = ("*",)) -> list[str]:
        """Return the names of the candidate's floating outputs that match one of the patterns, in order of name."""
        return [
            name for name, array in sorted(self.candidate.tensors.items())
            if np.issubdtype(array.dtype, np.floating) and any(fnmatchcase(name, pattern) for pattern in only)
            and self.answered(name) and not told_of(name)
        ]  # fmt: skip

    def answered(self, output: str) -> bool:
        """Tell whether the sample that an output belongs to (`<sample>.<name>`) was answered by reference and golden (see `Answered`)."""
        part = output.partition(".")[0]
        return all(part not in side.details.get("raised", {}) for side in (self.reference, self.golden) if side)

    def unstable(self, output: str, golden: np.ndarray) -> np.ndarray:
        """Return where an output changes when the inputs move by one roundoff: bool, the golden's shape (all true if its shape changes).

        Of integers nothing does: they are exact.
        """
        changes = np.zeros(golden.shape, dtype=bool)
        for recording in self.moved if "float" in self.case.dtype else ():
            other = recording.tensors.get(plain_name(output))
            if other is None:
                continue
            if other.shape != golden.shape:
                return np.ones(golden.shape, dtype=bool)
            changes |= np.asarray(other != golden)
        return changes

    def chain(self) -> int:
        """Return how many terms the longest sum of the computation has, as the moved evaluations counted them; 1 without any."""
        return max((int(recording.details.get("chain", 1)) for recording in self.moved), default=1)


def plain_name(output: str) -> str:
    """Return the output's name without the layout that its operands had (`out@transposed`)."""
    return output.partition("@")[0]


def told_of(output: str) -> str:
    """Return the output that this one tells of (`k~picked0` of `k`: what its indices pick); empty for an output in its own right."""
    plain, mark, _ = output.partition("~")
    return plain if mark else ""


@runtime_checkable
class Telling(Protocol):
    """A check that has more to show in a report than its findings."""

    def told(self, evidence: Evidence, /) -> Mapping[str, Any]:
        """Return JSON-able facts by name, small; they travel in the verdict's evidence under "told"."""


@runtime_checkable
class Check(Protocol):
    """A metric with its bound. Implementations are frozen dataclasses with JSON-able fields."""

    @property
    def name(self) -> str:
        """What its findings are filed under."""

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Judge one case."""
