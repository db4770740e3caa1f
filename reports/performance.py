"""Throughput from raw rounds, for every section that shows it. Knows no page.

A time stands for performance only if nothing was emulated, and only if the result that was timed is right.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.frame import Frames, records
from reports.statistics import Estimate, percentile, rate, ratio


@dataclass(frozen=True)
class Rate:
    """One timed case: work a second on both sides, with intervals; `wrong` says why the figure does not count."""

    case: str
    dtype: str
    unit: str
    ours: Estimate
    theirs: Estimate | None
    ratio: Estimate | None
    p50: float
    p95: float
    rounds: int
    wrong: str


def shown_as_performance(frames: Frames) -> bool:
    """Whether times may be shown as performance at all."""
    return not frames.emulated


def rates(frames: Frames) -> list[Rate]:
    """Return the cases of the performance area that were timed, in order of name."""
    found = []
    for row in records(frames.area("performance").sort_values("case")):
        ours, theirs = row.evidence.get("candidate", {}), row.evidence.get("reference", {})
        if not _timed(ours):
            continue
        beside = theirs["seconds"] if _timed(theirs) else None
        found.append(
            Rate(
                str(row.case), str(row.dtype), ours["unit"], rate(ours["seconds"], ours["work"]),
                rate(beside, theirs["work"]) if beside else None, ratio(ours["seconds"], beside) if beside else None,
                percentile(ours["seconds"], 50), percentile(ours["seconds"], 95), len(ours["seconds"]),
                "" if row.outcome == "pass" else str(row.message or row.outcome),
            )
        )  # fmt: skip
    return found


def _timed(evidence: Mapping[str, Any]) -> bool:
    """Whether there are rounds, and each of them can be a duration."""
    seconds = evidence.get("seconds", ())
    return bool(seconds) and all(math.isfinite(s) and s > 0 for s in seconds)
