"""Throughput from raw rounds, for every section that shows it. Knows no page.

A time stands for performance only if nothing was emulated, and only if the result that was timed is right.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from harness.change import Change, Taken, between
from reports.frame import Frames, records
from reports.statistics import Estimate, percentile, rate


@dataclass(frozen=True)
class Rate:
    """One timed case: work a second on both sides, with intervals; `wrong` says why the figure does not count.

    `change` says whether that is a difference. `flops` are the operations that one round needs, where the workload tells them; `timing` is
    how the rounds were taken (`harness.rounds.Turns.rounds`), empty where their number was fixed. `traffic` are the least bytes that a
    round moves between memory and processor, `work` what it processes in `unit`. `their_energy` is the reference's
    (`harness.consumption.metered`). `vouched`: whether the verdict on the same work says that it is right (yes, waived, no: nobody says
    so).
    """

    case: str
    dtype: str
    unit: str
    ours: Estimate
    theirs: Estimate | None
    change: Change | None
    p50: float
    p95: float
    rounds: int
    wrong: str
    flops: int | None = None
    timing: Mapping[str, Any] = field(default_factory=dict)
    traffic: int | None = None
    work: float = 1.0
    their_energy: Mapping[str, Any] = field(default_factory=dict)
    vouched: str = "yes"

    @property
    def ratio(self) -> Estimate | None:
        """Our speed over theirs with its interval; None where the reference was not timed."""
        return self.change.ratio if self.change else None

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
    vouched = {str(f.case): str(f.answer) or "yes" for f in records(frames.found("performance", check="vouched"))}
    for row in records(frames.area("performance").sort_values("case")):
        ours, theirs = row.evidence.get("candidate", {}), row.evidence.get("reference", {})
        if not _timed(ours):
            continue
        beside = theirs["seconds"] if _timed(theirs) else None
        found.append(
            Rate(
                str(row.case), str(row.dtype), ours["unit"], rate(ours["seconds"], ours["work"]),
                rate(beside, theirs["work"]) if beside else None, between(_taken(ours), _taken(theirs)) if beside else None,
                percentile(ours["seconds"], 50), percentile(ours["seconds"], 95), len(ours["seconds"]),
                "" if row.outcome == "pass" else str(row.message or row.outcome), ours.get("costs", {}).get("flops", {}).get("needed"),
                ours.get("timing", {}), ours.get("costs", {}).get("bytes", {}).get("needed"), ours["work"],
                theirs.get("timing", {}).get("energy", {}), vouched.get(str(row.case), "yes"),
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
    return _known(frames, [peak for peak in frames.published.get("peaks", ()) if peak["dtype"] == dtype])


def bandwidth_of(frames: Frames) -> Mapping[str, Any] | None:
    """Return the registry's memory bandwidth of the candidate's hardware; None where it has none."""
    return _known(frames, frames.published.get("bandwidths", ()))


def _known(frames: Frames, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    hardware = str(frames.side("candidate").get("hardware", ""))
    return next((entry for entry in entries if fnmatchcase(hardware, entry["device"])), None)


def _taken(evidence: Mapping[str, Any]) -> Taken:
    return Taken(evidence["seconds"], evidence.get("timing", {}))


def _timed(evidence: Mapping[str, Any]) -> bool:
    """Whether there are rounds, and each of them can be a duration."""
    seconds = evidence.get("seconds", ())
    return bool(seconds) and all(math.isfinite(s) and s > 0 for s in seconds)
