"""Is every parameter's gradient, or update, right? Works on sketches (see harness/sketch.py). Knows no model.

A loss within one per cent can hide gradients that are 50 % wrong (Ascend/pytorch issue 107), so each parameter is judged:
||candidate - golden|| / ||golden|| beside the reference's, both estimated from sketches that are linear in the tensor. Where the
reference was run again with moved weights, its error is the root mean square over its n runs: a lucky run no longer makes a narrow bound,
and fewer chances are left for a wide one (F of 10 and 10 n elements instead of 10 and 10).

AdamW's update is little more than the gradient's signs, so an element whose gradient is as small as its error, or as AdamW's epsilon, is
off by its whole update, on one sound device and not on the other. Which parameter has such an element is chance: of updates none is taken
to be better in the reference's runs than all of them together.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.checks.closeness import RMS_RATIO, UNIT_ROUNDOFF, WORST_RATIO, widening
from harness.checks.evidence import Evidence
from harness.verdict import Finding, Outcome

_INDEPENDENT = 10  # the errors of a model's parameters share their causes upstream
_UPDATES = "update/"
_LOST = 0.25  # relative error of the reference itself from which on twice of it is half of the signal: nothing there can be judged by rms


@dataclass(frozen=True)
class Parameters:
    """All outputs whose name begins with `prefix`, one a parameter, are as close to float64 as the reference's."""

    prefix: str
    name: str = "parameters"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding over all parameters (`rms`) and one on the parameter that is worst against its own bound (`worst`)."""
        if evidence.golden is None:
            return [Finding(self.name, self.prefix, Outcome.INCOMPARABLE, message="no float64 golden")]
        sides = (evidence.candidate.tensors, evidence.reference.tensors, evidence.golden.tensors)
        names = sorted(n for n in sides[2] if n.startswith(self.prefix))
        recorded = (*sides[:2], *(rerun.tensors for rerun in evidence.reruns))
        other = {n for side in recorded for n in side if n.startswith(self.prefix)} ^ set(names)
        if other or not names:
            text = f"the two sides have not the same parameters: {min(other, default='none at all')}"
            return [Finding(self.name, self.prefix, Outcome.INCOMPARABLE, message=text)]
        return self._judge(names, self._errors(evidence, names), UNIT_ROUNDOFF[evidence.case.dtype], 1 + len(evidence.reruns))

    def told(self, evidence: Evidence, /) -> Mapping[str, Any]:
        """Return for reports `errors/<prefix>`: for each parameter, in the model's order, its name and both sides' relative errors."""
        golden = evidence.golden.tensors if evidence.golden else {}
        names = [n for n in golden if n.startswith(self.prefix)]
        sides = (evidence.candidate, evidence.reference, *evidence.reruns)
        if not names or any(n not in side.tensors for n in names for side in sides):
            return {}
        order = {str(name): k for k, name in enumerate(evidence.candidate.details.get("parameters", ()))}
        names.sort(key=lambda n: (order.get(n.removeprefix(self.prefix), len(order)), n))
        rows = zip(names, self._errors(evidence, names), strict=True)
        return {f"errors/{self.prefix}": [[n.removeprefix(self.prefix), *(float(f"{e:.3g}") for e in both)] for n, both in rows]}

    def _errors(self, evidence: Evidence, names: list[str]) -> np.ndarray:
        """Return [parameters, 2]: the candidate's relative error, and the reference's over all its runs."""
        assert evidence.golden is not None
        golden, ours = evidence.golden.tensors, evidence.candidate.tensors
        runs = [recording.tensors for recording in (evidence.reference, *evidence.reruns)]
        pairs = np.array([[_errors(ours[n], run[n], golden[n]) for run in runs] for n in names])
        return np.stack([pairs[:, 0, 0], np.sqrt(np.mean(pairs[:, :, 1] ** 2, axis=1))], axis=1)

    def _judge(self, names: list[str], errors: np.ndarray, u: float, runs: int) -> list[Finding]:
        lost = np.isfinite(errors[:, 1]) & (errors[:, 1] > _LOST)
        judged = errors if 2 * np.count_nonzero(lost) > len(errors) else errors[~lost]
        device, own = (float(v) for v in np.sqrt(np.mean(judged**2, axis=0)))
        least = own if self.prefix == _UPDATES and math.isfinite(own) else 0.0
        bounds = np.maximum(WORST_RATIO * np.maximum(errors[:, 1], least), 2 * u)
        worst = int(np.argmax(np.where(np.isfinite(errors[:, 0]), errors[:, 0] / bounds, np.inf)))
        rows = (
            ("rms", device, own, max(RMS_RATIO * own, 2 / math.sqrt(3) * u) * widening(_INDEPENDENT, _INDEPENDENT * runs), ""),
            ("worst", float(errors[worst, 0]), float(errors[worst, 1]), float(bounds[worst]), names[worst].removeprefix(self.prefix)),
        )
        findings = []
        for metric, measured, reference, bound, where in rows:
            outcome, message = Outcome.PASS, ""
            if not math.isfinite(reference):
                outcome, message = Outcome.INCOMPARABLE, "the reference's own result is not finite where float64 is"
            elif not measured <= bound:
                outcome = Outcome.FAIL
                message = f"relative error {measured:.3g}, allowed {bound:.3g} (the reference device: {reference:.3g})"
            elif bound >= 0.5 and metric == "rms":
                outcome, message = Outcome.MISTRUSTED, f"the bound is {bound:.0%} of the signal; nothing could have failed it"
            elif bound >= 0.5:
                message = f"blunt: a single parameter may be off by {bound:.0%}; rms decides here"
            elif lost.any() and metric == "rms":
                left_out = f"{np.count_nonzero(lost)} of {len(errors)} parameters"
                message = f"without {left_out} in which the reference itself is off by {_LOST:.0%} or more"
            subject = f"{self.prefix}* {metric}"
            findings.append(Finding(self.name, subject, outcome, measured / u, bound / u, "u", reference / u, where=where, message=message))
        return findings


def _errors(candidate: np.ndarray, reference: np.ndarray, golden: np.ndarray) -> tuple[float, float]:
    """Return the relative errors of candidate and reference; a parameter that is exactly zero in float64 must be so everywhere."""
    if not candidate.shape == reference.shape == golden.shape:
        return math.inf, 0.0
    norm = float(np.linalg.norm(golden))
    errors = [float(np.linalg.norm(x - golden)) for x in (candidate, reference)]
    if norm == 0:
        errors = [0.0 if e == 0 else math.inf for e in errors]
        norm = 1.0
    device, own = (e / norm if math.isfinite(e) else math.inf for e in errors)
    return device, own
