"""Is the model that training left behind as good on unseen text as the reference's? Knows no model and no data.

The output `held_out_loss` has the mean loss on data that was not trained on, before the first and after the last step. How far sound runs
lie apart there is measured as for every other figure of a training run: by perturbed reruns of the reference (`band.py`).
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.band import band
from harness.checks.closeness import Closeness, roundoff
from harness.checks.evidence import Evidence
from harness.verdict import Finding, Outcome

OUTPUT = "held_out_loss"
_MOMENTS = ("before training", "after training")


@dataclass(frozen=True)
class HeldOut:
    """The loss on held-out data [2], before and after training, is inside the band of the reference's runs around float64."""

    name: str = "held_out"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return two findings; none for a stage that holds nothing out. Without reruns: what closeness finds."""
        if not any(side and OUTPUT in side.tensors for side in (evidence.candidate, evidence.reference, evidence.golden)):
            return []
        sides = evidence.sides(OUTPUT)
        if isinstance(sides, str):
            return [Finding(self.name, OUTPUT, Outcome.INCOMPARABLE, message=sides)]
        runs = [run.tensors[OUTPUT] for run in evidence.reruns if OUTPUT in run.tensors]
        if not runs or not sides.one_shape() or sides.golden.shape != (2,) or any(run.shape != (2,) for run in runs):
            return Closeness(only=(OUTPUT,), name=self.name)(evidence)
        u = roundoff(evidence, OUTPUT)
        one = band(sides.golden, [sides.reference, *runs], u.floor)
        if not np.isfinite(one.off(sides.reference)).all():
            return [Finding(self.name, OUTPUT, Outcome.INCOMPARABLE, message="the reference's own result is not finite where float64 is")]
        found = []
        for at, moment in enumerate(_MOMENTS):
            off, allowed, own = (float(a[at]) for a in (one.off(sides.candidate), one.allowed, one.measured))
            text = ", ".join(f"{side} {float(a[at]):.6g}" for side, a in zip(("candidate", "reference", "float64"), sides, strict=True))
            outcome = Outcome.PASS if off <= allowed else Outcome.FAIL
            if outcome is Outcome.PASS and allowed >= 0.5:
                outcome, text = Outcome.MISTRUSTED, f"{text}; the band is {allowed:.0%} of the loss, nothing could have left it"
            figures = (off / u.unit, allowed / u.unit, "u", own / u.unit)
            found.append(Finding(self.name, f"{OUTPUT} {moment}", outcome, *figures, message=text))
        return found

    def told(self, evidence: Evidence, /) -> dict[str, list[list[float]]]:
        """Return for reports `held_out`: [before, after] of candidate and reference, in the unit of the stage's loss."""
        sides = [side.tensors.get(OUTPUT) for side in (evidence.candidate, evidence.reference)]
        if any(side is None or side.shape != (2,) for side in sides):
            return {}
        return {"held_out": [[float(f"{v:.7g}") for v in side] for side in sides if side is not None]}
