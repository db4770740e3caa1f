"""Which common operators does a device refuse, and what does it make of float64? Knows no operator by more than its name.

The harness forbids torch_npu to compute on the host what an NPU lacks (`harness/environment.py`), so what would be handed over shows as a
refusal. Where a user allows it, nothing but a line in a log tells, and the fact says so. Nothing here is judged: what a device lacks is
for its buyer to weigh, and each case that needs it is unsupported by itself.
"""

from collections.abc import Sequence

from harness.checks.fingerprint.fact import Fact, Reading
from harness.recording import Recording


def _support(recording: Recording) -> Sequence[Fact]:
    said: dict[str, str] = recording.details["operators"]
    refused = sorted(name for name, words in said.items() if words)
    count = len(said) - len(refused)
    words = f"{count} of {len(said)}" + (", some perhaps on the host" if recording.details.get("host_may_stand_in") else "")
    return [
        Fact("common operators", words, float(count), unit="operators"),
        Fact("refused operators", ", ".join(refused) or "none", float(len(refused)), unit="operators"),
    ]


def _double(recording: Recording) -> Sequence[Fact]:
    """A device without float64 may say so, or take float32 in its place with no more than a warning (safetensors 661)."""
    if recording.details["operators"]["float64"]:
        return [Fact("float64", "refused")]
    given = recording.dtypes["double"]
    exact = bool((recording.tensors["double"] == 2.0**-40).all())
    return [Fact("float64", "yes" if given == "float64" and exact else f"{given} in its place" if given != "float64" else "not to 40 bits")]


READINGS = (Reading((), _support), Reading((), _double))
