"""Does a training step keep in memory what its configuration says? Knows no model and no allocator.

Weights, gradients and optimizer states are exact counts, from the golden. Activations have no right answer: what a device's operators save
is its own affair, and is told beside the reference's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.checks.evidence import Evidence
from harness.recording import Recording
from harness.verdict import Cause, Finding, Outcome

_EXACT = ("weights", "gradients", "optimizer")


@dataclass(frozen=True)
class Footprint:
    """Bytes of weights, gradients and optimizer states equal the golden's; the allocator's peak is no less than what tensors hold."""

    name: str = "footprint"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding for each exact part, one for the activations, and one for the peak where the framework counts."""
        return [*(self._exact(evidence, part) for part in _EXACT), self._activations(evidence), *self._peak(evidence.candidate)]

    def _exact(self, evidence: Evidence, part: str) -> Finding:
        sides = evidence.sides(part)
        if isinstance(sides, str):
            return Finding(self.name, part, Outcome.INCOMPARABLE, message=sides)
        measured, reference, counted = (int(side.item()) for side in sides)
        wrong = measured != counted
        text = f"{measured:,} bytes, and the configuration makes {counted:,}" if wrong else ""
        return Finding(
            self.name, part, Outcome.FAIL if wrong else Outcome.PASS, measured, counted, "bytes", reference, message=text,
            cause=Cause.INTEGERS if wrong else None,
        )  # fmt: skip

    def _activations(self, evidence: Evidence) -> Finding:
        ours, theirs = _memory(evidence.candidate).get("activations"), _memory(evidence.reference).get("activations")
        if not ours:
            return Finding(
                self.name, "activations", Outcome.MISTRUSTED, 0.0, unit="bytes", message="nothing was kept for the backward pass"
            )
        return Finding(self.name, "activations", Outcome.PASS, ours, None, "bytes", theirs, message="the most that autograd kept at once")

    def _peak(self, recording: Recording) -> list[Finding]:
        peak, memory = recording.memory.get("allocated_peak"), _memory(recording)
        if peak is None or "activations" not in memory:
            return []
        least = memory["weights"] + memory["optimizer"] + max(memory["activations"], memory["gradients"])
        if peak < least:
            text = f"the allocator says {peak:,} bytes at most, and tensors held {least:,}"
            return [Finding(self.name, "peak", Outcome.FAIL, peak, least, "bytes", message=text, cause=Cause.INTEGERS)]
        text = f"{peak - least:,} bytes above what weights, optimizer states and the larger of activations and gradients hold"
        return [Finding(self.name, "peak", Outcome.PASS, peak, None, "bytes", message=text)]


def _memory(recording: Recording) -> Mapping[str, Any]:
    """Return what the workload found, and nothing of a recording that does not have it."""
    costs = recording.details.get("costs", {})
    return dict(costs.get("memory", {}))
