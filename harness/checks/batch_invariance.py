"""Does company change a result? It informs and has no bound: rounding may depend on the shape of a batch. Knows no workload.

Whether a result in company is right is for the other checks to say.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.evidence import Evidence
from harness.verdict import Finding, Outcome


@dataclass(frozen=True)
class BatchInvariance:
    """Compare each floating output `<left>/<name>` of the candidate with its own `<right>/<name>`, bit by bit."""

    left: str
    right: str
    name: str = "batch_invariance"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding an output: how many elements have other bits, beside how many the reference's have."""
        names = [name.removeprefix(f"{self.left}/") for name in evidence.floating((f"{self.left}/*",))]
        if not names:
            return [Finding(self.name, f"{self.left}/*", Outcome.INCOMPARABLE, message="the candidate has no such output")]
        return [self._one(evidence, name) for name in names]

    def _one(self, evidence: Evidence, name: str) -> Finding:
        sides = [
            (recording.tensors.get(f"{self.left}/{name}"), recording.tensors.get(f"{self.right}/{name}"))
            for recording in (evidence.candidate, evidence.reference)
        ]
        if any(one is None or other is None or one.shape != other.shape for one, other in sides):
            text = f"no {self.right}/{name} of the same shape to compare with"
            return Finding(self.name, f"{self.left}/{name}", Outcome.INCOMPARABLE, message=text)
        moved = [np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)) for one, other in sides]
        counts = [float(np.count_nonzero(~(m == 0))) for m in moved]
        words = f"{counts[0]:.0f} of {moved[0].size} elements differ from {self.right}, by up to {moved[0].max(initial=0.0):.2g}"
        message = words if counts[0] else f"the same bits as {self.right}"
        return Finding(self.name, f"{self.left}/{name}", Outcome.PASS, counts[0], None, "elements", counts[1], message=message)
