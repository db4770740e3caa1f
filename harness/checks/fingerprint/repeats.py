"""Does a device give the same bits again, and does a row depend on its batch? Knows no operator by more than its name.

The harness demands deterministic algorithms of every device (`Device.deterministic`), so an operator that runs must repeat itself bit for
bit: one that does not fails. A row that changes with the size of its batch is told and never judged: nobody promises the contrary, and
who samples with dynamic batches must know it.
"""

from collections.abc import Sequence

import numpy as np

from harness.checks.fingerprint.fact import Fact, Reading
from harness.recording import Recording
from harness.verdict import Cause


def unlike_first(values: np.ndarray) -> list[int]:
    """Return which of values[1:] are not values[0] bit for bit (NaN equals itself)."""
    first = values[0].tobytes()
    return [i for i in range(1, len(values)) if values[i].tobytes() != first]


def _repeats(recording: Recording) -> Sequence[Fact]:
    names = sorted(recording.tensors)
    changed = {name: len(found) for name in names if (found := unlike_first(recording.tensors[name]))}
    times = len(recording.tensors[names[0]])
    words = ", ".join(f"{name}: {count} of {times - 1} differ" for name, count in changed.items()) or f"{times} times the same bits"
    broken = "deterministic algorithms were demanded" if changed and recording.details.get("deterministic") else ""
    return [Fact("repetition", words, float(len(changed)), 0.0, "operators", broken, Cause.UNSTEADY if broken else None)]


def _batches(recording: Recording) -> Sequence[Fact]:
    sizes, told = recording.details["batches"], []
    for name, values in sorted(recording.tensors.items()):
        if changed := [str(sizes[i]) for i in unlike_first(values)]:
            told.append(f"{name} changes in batches of {', '.join(changed)}")
    return [Fact("a row of a batch", "; ".join(told) or "the same bits in any batch", float(len(told)), unit="operators")]


REPEATS = (Reading((), _repeats),)
BATCHES = (Reading((), _batches),)
