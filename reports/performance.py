"""Throughput from raw rounds, for every section that shows it. Knows no page.

A time stands for performance only if nothing was emulated, and only if the result that was timed is right.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from reports.frame import Frames, records
from reports.statistics import Estimate, percentile, rate, ratio


@dataclass(frozen=True)
class Rate:
    """One timed case: work a second on both sides, with intervals; `wrong` says why the figure does not count.

    `flops` are the operations that one round needs, where the workload tells them.
    """

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
    flops: int | None = None

    @property
    def achieved(self) -> float | None:
        """Floating-point operations that the work needs by definition, a second, at the median round; None where they are not counted."""
        return None if self.flops is None else self.flops / self.p50


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
                "" if row.outcome == "pass" else str(row.message or row.outcome), ours.get("costs", {}).get("flops", {}).get("needed"),
            )
        )  # fmt: skip
    return found


@dataclass(frozen=True)
class Utilisation:
    """Model FLOPs utilisation: `low` to `high` (shares) of a peak that is itself known as a range; `peak` has the registry's entry."""

    low: float
    high: float
    peak: Mapping[str, Any]


def utilisation(frames: Frames, rate: Rate) -> Utilisation | None:
    """Return the share of the candidate's peak rate that a case reaches.

    None where the peak of that hardware in that dtype is not known, the operations are not counted, the result was wrong, or a side was
    emulated.
    """
    peak = peak_of(frames, rate.dtype)
    if rate.achieved is None or rate.wrong or peak is None or not shown_as_performance(frames):
        return None
    return Utilisation(rate.achieved / peak["high"], rate.achieved / peak["low"], peak)


def peak_of(frames: Frames, dtype: str) -> Mapping[str, Any] | None:
    """Return the registry's peak rate of the candidate's hardware in a dtype; None where it has none."""
    hardware = str(frames.side("candidate").get("hardware", ""))
    known = (peak for peak in frames.published.get("peaks", ()) if peak["dtype"] == dtype)
    return next((peak for peak in known if fnmatchcase(hardware, peak["device"])), None)


def _timed(evidence: Mapping[str, Any]) -> bool:
    """Whether there are rounds, and each of them can be a duration."""
    seconds = evidence.get("seconds", ())
    return bool(seconds) and all(math.isfinite(s) and s > 0 for s in seconds)
