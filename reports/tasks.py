"""A task as a reader wants it: the difference with its interval and margin, and the score of both sides. Knows no section and no HTML."""

from dataclasses import dataclass

from reports.frame import Frames, records
from reports.statistics import Estimate

POINTS = "points"
_SCORES = ("%", "bits per byte")


@dataclass(frozen=True)
class Task:
    """One task of a Run. `difference` is candidate minus reference in `unit`: points of 100, or bits per byte, of which fewer are better.

    `margin` is what the interval of the difference has to lie within; None where none was stated. `candidate` and `reference` are the
    scores, in per cent or in bits per byte.
    """

    case: str
    outcome: str
    unit: str
    difference: Estimate
    margin: float | None
    candidate: Estimate
    reference: float

    @property
    def name(self) -> str:
        """The case without the area."""
        return self.case.removeprefix("accuracy/").removeprefix("asked/")

    @property
    def used(self) -> float:
        """How much of the margin the difference may be at most, by its interval; of a task without a margin, that difference."""
        found = self.difference
        return max(abs(end) for end in (found.value, found.low, found.high) if end is not None) / (self.margin or 1.0)


def tasks(frames: Frames) -> list[Task]:
    """Return the tasks of a Run that have a score on both sides, in its order."""
    found = frames.found("accuracy", check="score")
    found = found[found["reference"].notna() | found["subject"].eq("difference")]
    differences = {str(f.case): f for f in records(found[found["subject"] == "difference"])}
    told = []
    for f in records(found[found["unit"].isin(_SCORES) & ~found["subject"].isin(["difference", "drift"])]):
        apart = differences.get(str(f.case))
        points = POINTS if f.unit == "%" else str(f.unit)
        difference = _estimate(apart) if apart else Estimate(float(f.measured) - float(f.reference))
        margin = float(apart.bound) if apart and apart.bound == apart.bound else None
        told.append(
            Task(str(f.case), str(f.outcome), points, difference, margin, _estimate(f), float(f.reference))
        )  # fmt: skip
    return told


def _estimate(finding: object) -> Estimate:
    """Return a finding's figure with its interval, which needs both ends."""
    value, low, high = (float(getattr(finding, name)) for name in ("measured", "low", "high"))
    return Estimate(value, low, high) if low == low and high == high else Estimate(value)
