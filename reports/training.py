"""A training run as a report needs it: its curves, its bands, its gradients by layer, where it left. Knows no section and no HTML."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reports.frame import Frames, records

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")


@dataclass(frozen=True)
class Training:
    """One training case. `curves` maps a side to its series by name, `told` has what the checks had to show beside their findings."""

    case: str
    outcome: str
    message: str
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    told: Mapping[str, Any]
    findings: pd.DataFrame

    @property
    def name(self) -> str:
        """The case without the area, which the section's title says."""
        return self.case.removeprefix("post_training/")

    @property
    def reruns(self) -> int:
        """How many reruns of the reference span the bands; 0 where there are none."""
        return int(self.told.get("reruns", 0))

    def series(self, name: str) -> dict[str, Sequence[float]]:
        """Return one series of each side that has it."""
        return {side: curves[name] for side, curves in self.curves.items() if name in curves}

    def band(self, name: str) -> list[float]:
        """Return the half width of the band around float64 at each step; nothing where none was measured."""
        return [float(value) for value in self.told.get(f"band/{name}", ())]

    @property
    def used(self) -> float | None:
        """The largest share of its band or bound that a followed series used up; None where nothing was judged."""
        rows = self.findings[(self.findings["check"] == "trajectory") & self.findings["bound"].gt(0)]
        shares = (rows["measured"] / rows["bound"]).dropna()
        return float(shares.max()) if len(shares) else None

    @property
    def left(self) -> str:
        """Where it left its band first, in words; empty where it did not."""
        rows = self.findings[(self.findings["check"] == "trajectory") & (self.findings["outcome"] == "fail")]
        places = rows["where"][rows["where"].str.startswith("first at")]
        return str(places.iloc[0]).removeprefix("first at ") if len(places) else ""

    @property
    def held_out(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """The loss on held-out data, before and after: the candidate's and the reference's; None where nothing was held out."""
        both = [[float(value) for value in side] for side in self.told.get("held_out", ())]
        return (both[0], both[1]) if len(both) == 2 else None

    def by_layer(self, kind: str = "grad/") -> list[tuple[str, float, float]]:
        """Return for each layer the rms over its parameters of candidate's and reference's relative errors, in the model's order."""
        layers: dict[str, list[tuple[float, float]]] = {}
        for name, ours, theirs in self.told.get(f"errors/{kind}", ()):
            found = _LAYER.search(name)
            layers.setdefault(f"layer {found[1]}" if found else str(name).removesuffix(".weight"), []).append((float(ours), float(theirs)))
        return [(layer, *_rms(errors)) for layer, errors in layers.items()]

    @property
    def worst_layer(self) -> tuple[str, float] | None:
        """The layer whose gradient is off most against the reference's own error, and by how many times that."""
        ratios = [(layer, ours / theirs) for layer, ours, theirs in self.by_layer() if theirs > 0]
        return max(ratios, key=lambda pair: pair[1], default=None)


def _rms(errors: Sequence[tuple[float, float]]) -> tuple[float, float]:
    ours, theirs = (math.sqrt(float(np.mean(np.square(side)))) for side in zip(*errors, strict=True))
    return ours, theirs


def trainings(frames: Frames) -> list[Training]:
    """Return the training cases of a Run that have a curve of the loss, those that did not pass first, then those closest to their band."""
    found = []
    for row in records(frames.area("post_training")):
        sides = ("candidate", "reference", "golden")
        curves = {side: row.evidence[side]["series"] for side in sides if row.evidence.get(side, {}).get("series")}
        if "loss" in curves.get("candidate", {}):
            findings = frames.findings[frames.findings["case"] == row.case]
            told = row.evidence.get("told", {})
            found.append(Training(str(row.case), str(row.outcome), str(row.message), curves, told, findings))
    return sorted(found, key=lambda t: (t.outcome == "pass", -(t.used or 0.0), t.case))
