"""Is a result what its published definition says, whatever the reference device makes of it? Knows no model.

The other checks allow a device what the reference device does, and the reference may run the same faulty code: then both are off alike,
and each vouches for the other. Where the golden is an independent program, nothing excuses a distance from it but rounding.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.evidence import Evidence
from harness.verdict import Cause, Finding, Outcome


@dataclass(frozen=True)
class Definition:
    """Each output that matches `only` is within `limit` of the golden: `||output - golden|| / ||golden||`, over the whole output.

    `limit` lies above what rounding does to these inputs, and below what a wrong formula does.
    """

    only: tuple[str, ...]
    limit: float
    name: str = "definition"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding, on the output that is farthest off; a failure says whether the reference device is as far off."""
        subject = ", ".join(self.only)
        outputs = evidence.floating(self.only)
        if not outputs:
            return [Finding(self.name, subject, Outcome.INCOMPARABLE, message="the candidate has no such output")]
        found: list[tuple[float, float, str]] = []
        for output in outputs:
            sides = evidence.sides(output)
            if isinstance(sides, str):
                return [Finding(self.name, output, Outcome.INCOMPARABLE, message=sides)]
            if not sides.one_shape():
                return [Finding(self.name, output, Outcome.FAIL, message="another shape than the definition's", cause=Cause.FORM)]
            found.append((_distance(sides.candidate, sides.golden), _distance(sides.reference, sides.golden), output))
        measured, own, output = max(found)
        outcome, message, cause = Outcome.PASS, "", None
        if not measured <= self.limit:
            outcome, cause = Outcome.FAIL, Cause.VALUES
            message = f"relative distance {measured:.3g} from the definition in float64, allowed {self.limit:.3g}"
            if not own <= self.limit:
                message += f"; so is the reference device's, {own:.3g}: the code that both run is not what the definition says"
        return [Finding(self.name, subject, outcome, measured, self.limit, "relative", own, where=output, message=message, cause=cause)]


def _distance(result: np.ndarray, golden: np.ndarray) -> float:
    """Return the relative distance; infinite where something is not finite, or not zero where the golden is."""
    distance, size = float(np.linalg.norm(result - golden)), float(np.linalg.norm(golden))
    if not np.isfinite(distance) or (size == 0 and distance != 0):
        return np.inf
    return distance / size if size else 0.0
