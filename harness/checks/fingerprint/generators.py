"""What a device's random generator does with seeds and states. Knows no distribution and no generator's inside.

Each output is [6, n], drawn in this order: seed A, again without seeding, seed A anew, seed B, and twice from one state of the generator.
That the same seed draws the same, that other seeds and later draws are others and that a state can be restored is what reproducible
training and dropout stand on: it is judged. Whether a draw depends on how it is cut up, and whether it is the CPU's own stream, is told.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from harness.checks.fingerprint.fact import Fact, Reading
from harness.recording import Recording
from harness.verdict import Cause

A, SUCCESSOR, A_ANEW, B, STATE, STATE_AGAIN = range(6)
_WHOLE = ("split", "host")


def _drawn(recording: Recording) -> Mapping[str, np.ndarray]:
    return {name: values for name, values in sorted(recording.tensors.items()) if not name.startswith(_WHOLE)}


def _seeds(recording: Recording) -> Sequence[Fact]:
    questions = (
        ("one seed draws differently", A, A_ANEW, False), ("two seeds draw the same", A, B, True),
        ("a draw repeats the one before", A, SUCCESSOR, True), ("a restored state draws differently", STATE, STATE_AGAIN, False),
    )  # fmt: skip
    wrong = []
    for fault, one, other, same in questions:
        names = [name for name, values in _drawn(recording).items() if np.array_equal(values[one], values[other]) is same]
        wrong += [f"{fault}: {', '.join(names)}"] if names else []
    words, broken = "; ".join(wrong) or "as they must be", "reproducible training stands on seeds, states and new draws" if wrong else ""
    return [Fact("seeds and states", words, float(len(wrong)), 0.0, "faults", broken, Cause.RANDOM if wrong else None)]


def _cut(recording: Recording) -> Sequence[Fact]:
    whole = recording.tensors["uniform"][A]
    return [Fact("draw in two halves", "the same draw" if np.array_equal(recording.tensors["split"], whole) else "another draw")]


def _stream(recording: Recording) -> Sequence[Fact]:
    equal = np.array_equal(recording.tensors["host_uniform"], recording.tensors["uniform"][A])
    return [Fact("stream", "the CPU's" if equal else "its own")]


READINGS = (Reading(("uniform",), _seeds), Reading(("split", "uniform"), _cut), Reading(("host_uniform", "uniform"), _stream))
