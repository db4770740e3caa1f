"""A fact about a device, and what it breaks if it is not as promised. Knows no probe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.recording import Recording
from harness.verdict import Cause

#: Binary digits of the significand, the leading one included (IEEE 754; bfloat16 as in Intel's and Arm's definitions).
DIGITS = {"float32": 24, "bfloat16": 8, "float16": 11}


@dataclass(frozen=True)
class Fact:
    """What a device answered to a probe, in few words.

    `measured` and `bound` are there where the answer is a number. `broken` says which promise the answer breaks, in one sentence; a fact
    that breaks none informs. With `shared` the promise is no standard's, only a custom's: a device that answers as the reference does
    keeps it.
    """

    subject: str
    words: str
    measured: float | None = None
    bound: float | None = None
    unit: str = ""
    broken: str = ""
    cause: Cause | None = None
    shared: bool = False


class Reading(NamedTuple):
    """Turns outputs into facts: `read` is called where the device gave all that it `needs`."""

    needs: tuple[str, ...]
    read: Callable[[Recording], Sequence[Fact]]


def cast_to(sources: Sequence[str], values: Sequence[object], names: Mapping[object, str]) -> str:
    """Return what became of what, as 'nan, inf → 0, 3e9 → max'; `names` are for values that have one."""
    by_value: dict[str, list[str]] = {}
    for source, value in zip(sources, values, strict=True):
        by_value.setdefault(names.get(value, str(value)), []).append(source)
    return ", ".join(f"{', '.join(found)} → {value}" for value, found in by_value.items())


def dtype_of(recording: Recording) -> str:
    """Return the dtype of the case."""
    return str(recording.definition["dtype"])


def allowed(recording: Recording) -> str:
    """Return which coarser arithmetic the device was allowed to take, in PyTorch's names for it; empty: none."""
    return ", ".join(map(str, recording.details.get("allowed", ())))
