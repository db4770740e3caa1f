"""Does a training run follow the float64 run as sound runs do? Knows no model.

What sound runs do is measured: the reference's run and perturbed reruns of it span a band around the float64 series (`band.py`). Where a
reference was recorded without reruns its one run has to do; the errors of successive steps grow out of each other, so a series of any
length then counts as three independent elements.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.checks.band import INDEPENDENT, Band, band
from harness.checks.closeness import WORST_RATIO, compare, roundoff, vacuous
from harness.checks.departure import Departure, departure
from harness.checks.errors import Output, size_up
from harness.checks.evidence import Evidence, Sides
from harness.verdict import Finding, Outcome

_NORMS = ("grad_norms", "update_norm")
# [steps, parameters], not judged but to say where: AdamW's first update is little more than the gradient's signs, and of a parameter with
# few elements one whose gradient is as small as its error moves this norm by per cents, on one sound device and not on the other
_WHERE = "update_norms"
_NO_RERUNS = "no reruns of the reference: judged by its one run"


@dataclass(frozen=True)
class Trajectory:
    """Each named series (one value, or one row of values, a step) stays in the band that the reference's reruns span around float64."""

    series: tuple[str, ...]
    name: str = "trajectory"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding a series, and of the norms of gradients and update where there are; without reruns two, and none of these."""
        if not _runs(evidence):
            return [finding for series in self.series for finding in self._alone(evidence, series)]
        bands = _bands(evidence, (*self.series, *_NORMS, _WHERE))
        found = [self._within(evidence, series, bands) for series in self.series]
        found += [self._within(evidence, norms, bands) for norms in _NORMS if norms in bands]
        if any(f.outcome is Outcome.FAIL for f in found) and (left := departure(evidence.candidate.tensors, bands, _parameters(evidence))):
            found = [_located(finding, left, evidence) for finding in found]
        return found

    def told(self, evidence: Evidence, /) -> Mapping[str, Any]:
        """Return the bands, for reports: `band/<series>` has the half width at each step, absolute; `reruns` is their number."""
        if not _runs(evidence):
            return {}
        bands = {name: one for name, one in _bands(evidence, self.series).items() if one.golden.ndim == 1}
        halves = {f"band/{name}": [float(f"{v:.4g}") for v in one.allowed * one.scale] for name, one in bands.items()}
        return {"reruns": len(evidence.reruns), **halves}

    def _alone(self, evidence: Evidence, series: str) -> list[Finding]:
        sides = evidence.sides(series)
        if isinstance(sides, str):
            return [Finding(self.name, series, Outcome.INCOMPARABLE, message=sides)]
        found = compare(series, sides, roundoff(evidence, series), self.name, INDEPENDENT)
        if evidence.case.band:
            found = [replace(f, message=f"{f.message}; {_NO_RERUNS}" if f.message else _NO_RERUNS) for f in found]
        return [replace(f, where=_step(sides) if f.outcome is Outcome.FAIL else "") for f in found]

    def _within(self, evidence: Evidence, series: str, bands: Mapping[str, Band]) -> Finding:
        sides = evidence.sides(series)
        if isinstance(sides, str):
            return Finding(self.name, series, Outcome.INCOMPARABLE, message=sides)
        if series not in bands:
            text = f"shape {sides.candidate.shape}, reference {sides.reference.shape}, golden {sides.golden.shape}, or a rerun has another"
            return Finding(self.name, series, Outcome.INCOMPARABLE, message=text)
        golden = sides.golden.astype(np.float64)
        if said := vacuous(self.name, series, size_up([Output(golden, golden, (golden,))])[0].signal) if golden.ndim == 1 else []:
            return said[0]
        return _judged(self.name, series, sides, bands[series], (roundoff(evidence, series).unit, len(_runs(evidence)) - 1))


def _judged(check: str, series: str, sides: Sides, one: Band, about: tuple[float, int]) -> Finding:
    unit, reruns = about
    if not np.isfinite(one.off(sides.reference)).all():
        return Finding(check, series, Outcome.INCOMPARABLE, message="the reference's own result is not finite where float64 is")
    at = one.worst(sides.candidate)
    off, allowed, own = (float(array[at]) for array in (one.off(sides.candidate), one.allowed, one.measured))
    steps, blunt = len(one.golden), one.blunt_from()
    outcome, message, where = Outcome.PASS, f"in the band that the reference and {reruns} reruns of it span", ""
    if found := one.first_outside(sides.candidate):
        step = found[0]
        outcome, where = Outcome.FAIL, f"first at step {step} of {steps}"
        message = (
            f"leaves the band at step {step} of {steps}; at step {at[0]} it is off by {off:.3g} of the signal, and may be by {allowed:.3g} "
            f"(the reference and {reruns} reruns of it: {own:.3g})"
        )
    elif blunt == 0:
        outcome = Outcome.MISTRUSTED
        message = f"the band is {float(one.allowed[0].min()):.0%} of the signal from the first step on; nothing could have left it"
    elif blunt < steps:
        message += f"; from step {blunt} on that is half of the signal or more, and says little"
    return Finding(check, series, outcome, off / unit, allowed / unit, "u", own / unit, where=where, message=message)


def _located(finding: Finding, left: Departure, evidence: Evidence) -> Finding:
    """Say of a series that fails where the run as a whole left its bands first."""
    if finding.outcome is not Outcome.FAIL or evidence.golden is None:
        return finding
    steps = len(evidence.golden.tensors[finding.subject])
    return replace(finding, where=left.where(steps), cause=left.part)


def _runs(evidence: Evidence) -> list[Mapping[str, np.ndarray]]:
    """Return the tensors of the reference and of its reruns; nothing where there are no reruns or no golden."""
    if evidence.golden is None or not evidence.reruns:
        return []
    return [recording.tensors for recording in (evidence.reference, *evidence.reruns)]


def _bands(evidence: Evidence, names: Sequence[str]) -> dict[str, Band]:
    """Return the bands of those series that candidate, golden and every run of the reference have, in one shape."""
    found = {}
    for name in dict.fromkeys(names):
        sides = evidence.sides(name)
        if isinstance(sides, str) or not all(name in run and run[name].shape == sides.golden.shape for run in _runs(evidence)):
            continue
        if sides.one_shape() and len(sides.golden):
            found[name] = band(sides.golden, [run[name] for run in _runs(evidence)], roundoff(evidence, name).floor, "norm" in name)
    return found


def _parameters(evidence: Evidence) -> list[str]:
    return [str(name) for name in evidence.candidate.details.get("parameters", ())]


def _step(sides: Sides) -> str:
    """Name the first step at which the candidate is more than ten times as far off as the reference has been up to there."""
    if not sides.one_shape():
        return ""
    candidate, reference, golden = sides
    size = np.where(golden == 0, 1.0, np.abs(golden))  # a reward begins at nothing
    own = np.maximum.accumulate(np.abs(reference - golden) / size)
    outside = np.flatnonzero(~(np.abs(candidate - golden) / size <= WORST_RATIO * own))
    return f"first at step {int(outside[0])} of {len(golden)}" if outside.size else ""
