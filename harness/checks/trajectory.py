"""Does a training run follow the float64 run as closely as the reference device's does? Knows no model.

The errors of successive steps grow out of each other, so a series of any length counts as three independent elements.
"""

from dataclasses import dataclass, replace

import numpy as np

from harness.checks.closeness import WORST_RATIO, compare, roundoff
from harness.checks.evidence import Evidence, Sides
from harness.verdict import Finding, Outcome

_INDEPENDENT = 3


@dataclass(frozen=True)
class Trajectory:
    """Each named series (one value a step) stays as close to the float64 series as the reference's does."""

    series: tuple[str, ...]
    name: str = "trajectory"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return two findings a series."""
        findings: list[Finding] = []
        for series in self.series:
            sides = evidence.sides(series)
            if isinstance(sides, str):
                findings.append(Finding(self.name, series, Outcome.INCOMPARABLE, message=sides))
                continue
            found = compare(series, sides, roundoff(evidence, series), self.name, _INDEPENDENT)
            findings += [replace(f, where=_step(sides) if f.outcome is Outcome.FAIL else "") for f in found]
        return findings


def _step(sides: Sides) -> str:
    """Name the first step at which the candidate is more than ten times as far off as the reference has been up to there."""
    if not sides.one_shape():
        return ""
    candidate, reference, golden = sides
    own = np.maximum.accumulate(np.abs(reference - golden) / np.abs(golden))
    outside = np.flatnonzero(~(np.abs(candidate - golden) / np.abs(golden) <= WORST_RATIO * own))
    return f"first at step {int(outside[0])} of {len(golden)}" if outside.size else ""
