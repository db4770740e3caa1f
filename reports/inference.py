"""Inference as a report needs it: what each case found, its curves by place and layer, and what waiting costs. Knows no page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.frame import Frames, records
from reports.statistics import percentile

_FORMAT = "quantised-"
_RIGHT = ("pass", "inconclusive")  # what was timed is right; of the latter it is the difference in speed that cannot be told


@dataclass(frozen=True)
class Served:
    """One inference case; `told` has what the checks had to show beside their findings."""

    case: str
    dtype: str
    outcome: str
    told: Mapping[str, Any]
    findings: pd.DataFrame

    @property
    def name(self) -> str:
        """The case without the area, which the section's title says."""
        return self.case.removeprefix("inference/")

    @property
    def form(self) -> str:
        """The number format that is on trial; empty where there is none."""
        return self.name.partition("[")[0].partition("/")[0].removeprefix(_FORMAT) if self.name.startswith(_FORMAT) else ""

    @property
    def model(self) -> str:
        """The family of the tiny model; empty for the model that was asked for."""
        return self.name.partition("[")[0].partition("/")[2]

    def found(self, check: str, subject: str = "") -> Any | None:
        """Return the first finding of a check whose subject ends with `subject`; None where there is none."""
        rows = self.findings[(self.findings["check"] == check) & self.findings["subject"].str.endswith(subject)]
        return next(iter(records(rows)), None)

    @property
    def divergence(self) -> tuple[list[float], list[float]] | None:
        """KL from float64 by place in nats, of candidate and reference; None where none was told."""
        curves = [value for name, value in sorted(self.told.items()) if name.startswith("kl/")]
        return (curves[0][0], curves[0][1]) if curves else None

    @property
    def used(self) -> float:
        """The largest share of a bound on the divergence that was used up; 0 where none was judged."""
        rows = self.findings[(self.findings["check"] == "divergence") & self.findings["bound"].gt(0)]
        shares = (rows["measured"] / rows["bound"]).dropna()
        return float(shares.max()) if len(shares) else 0.0

    def by_layer(self, kind: str) -> list[tuple[str, float, float]]:
        """Return layer, and the dB of candidate and reference: `snr` against the same format, `snr/format` against the model without it."""
        return [(str(layer), float(ours), float(theirs)) for layer, ours, theirs in self.told.get(kind, ())]


@dataclass(frozen=True)
class Wait:
    """What one timed case says of waiting: `kind` is ttft or tpot; `seconds` are raw samples by side, `memory` the peaks, in bytes."""

    case: str
    dtype: str
    kind: str
    batch: int
    context: int
    cache_bytes: int
    cache_counted: int | None
    seconds: Mapping[str, Sequence[float]]
    memory: Mapping[str, Any]
    right: bool

    @property
    def model(self) -> str:
        """The family of the tiny model; empty for the model that was asked for."""
        place = self.case.partition("[")[0].rpartition("/")[2]
        return "" if place == f"{self.batch}x{self.context}" else place

    def percentiles(self, side: str) -> tuple[float, float, float] | None:
        """Return the 50th, 95th and 99th percentile in seconds; None where a side was not timed."""
        seconds = self.seconds.get(side)
        return (percentile(seconds, 50), percentile(seconds, 95), percentile(seconds, 99)) if seconds else None


def served(frames: Frames) -> list[Served]:
    """Return the inference cases of a Run, those that did not pass first, then those that come closest to a bound of the divergence."""
    found = [
        Served(
            str(row.case), str(row.dtype), str(row.outcome), row.evidence.get("told", {}),
            frames.findings[frames.findings["case"] == row.case],
        )
        for row in records(frames.area("inference"))
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.outcome == "pass", -one.used, one.case))


def waits(frames: Frames) -> list[Wait]:
    """Return the timed cases that tell what was waited for, by name."""
    found = []
    for row in records(frames.area("performance").sort_values("case")):
        sides = {side: row.evidence.get(side, {}) for side in ("candidate", "reference")}
        told = sides["candidate"].get("costs", {}).get("serving")
        if told:
            seconds = {side: one["seconds"] for side, one in sides.items() if one.get("seconds")}
            memory = sides["candidate"].get("memory", {})
            found.append(Wait(str(row.case), str(row.dtype), **told, seconds=seconds, memory=memory, right=row.outcome in _RIGHT))
    return found
