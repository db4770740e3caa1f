"""Did training on this device make the model better, and as much better as on the reference? Knows no model and no task.

The output has a score of each held-out item before and after training; a higher one is better. Items are paired: with themselves before
training, and with the same items on the other device, so that what makes an item hard takes no part. Intervals are of the mean,
95 %, by the bootstrap over items (`harness.paired`).

Two devices that round differently end in slightly different models, and with enough items any difference is significant. What is
asked is therefore not whether there is one but whether it is small: as in a test of equivalence (Schuirmann, J. Pharmacokinet.
Biopharm. 15, 1987) the whole interval of the difference has to lie within a margin. The margin is half of the width of the interval of
the reference's own improvement, the accuracy with which these items tell an improvement at all. An interval that lies partly within it
says nothing either way, and the finding says so: it cannot tell.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.evidence import Evidence
from harness.paired import Interval, bootstrap
from harness.verdict import Finding, Outcome

_FEWEST = 20  # items below which a bootstrap interval is too narrow to be believed


@dataclass(frozen=True)
class Improvement:
    """`output`, scores [2, items] before and after training: better afterwards, and by as much as on the reference. `unit` is theirs."""

    output: str
    unit: str
    name: str = "improvement"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding on the improvement, and one on the difference between the two devices' end results."""
        ours, theirs = (side.tensors.get(self.output) for side in (evidence.candidate, evidence.reference))
        if ours is None or theirs is None or ours.shape != theirs.shape or ours.ndim != 2 or len(ours) != 2:
            return [self._unfit("the two sides have not the same scores, [2, items]")]
        if theirs.shape[1] < _FEWEST:
            return [self._unfit(f"{theirs.shape[1]} items are too few for an interval; hold out at least {_FEWEST}")]
        if not np.isfinite(theirs).all():
            return [self._unfit("the reference's own scores are not finite")]
        if not np.isfinite(ours).all():
            text = f"{np.count_nonzero(~np.isfinite(ours))} of {ours.size} scores are not finite"
            return [Finding(self.name, self.output, Outcome.FAIL, message=text)]
        own = bootstrap(theirs[1] - theirs[0])
        return [self._better(ours.astype(np.float64), own), self._as_good(ours[1] - theirs[1], own)]

    def _unfit(self, message: str) -> Finding:
        return Finding(self.name, self.output, Outcome.INCOMPARABLE, message=message)

    def _better(self, scores: np.ndarray, own: Interval) -> Finding:
        gains = scores[1] - scores[0]
        found, up = bootstrap(gains), int(np.count_nonzero(gains > 0))
        text = (
            f"improved by {found.text(self.unit)} (95 %, paired), from {scores[0].mean():.4g} to {scores[1].mean():.4g}, "
            f"{up} of {gains.size} items are better; on the reference {own.text(self.unit)}"
        )
        outcome = Outcome.PASS if found.low > 0 else Outcome.FAIL
        if own.low <= 0:
            outcome, text = Outcome.MISTRUSTED, f"the reference itself does not improve: {own.text(self.unit)}; train longer"
        elif outcome is Outcome.FAIL:
            text = f"no improvement that these items can show: {text}"
        return Finding(
            self.name, f"{self.output} gain", outcome, found.mean, None, self.unit, own.mean, found.low, found.high, message=text
        )

    def _as_good(self, difference: np.ndarray, own: Interval) -> Finding:
        found, margin = bootstrap(difference.astype(np.float64)), (own.high - own.low) / 2
        between = f"candidate minus reference after training: {found.text(self.unit)} (95 %, paired)"
        if -margin <= found.low and found.high <= margin:
            outcome, text = Outcome.PASS, f"the same end result, within {margin:.4g} {self.unit}; {between}"
        elif found.high < -margin or found.low > margin:
            which = "worse" if found.high < 0 else "better, by more than chance,"
            outcome, text = Outcome.FAIL, f"the end result is {which} than the reference's; {between}, allowed {margin:.4g}"
        else:
            outcome, text = Outcome.INCONCLUSIVE, f"cannot tell whether the end results are the same; {between}, allowed {margin:.4g}"
        return Finding(
            self.name, f"{self.output} difference", outcome, found.mean, margin, self.unit, low=found.low, high=found.high, message=text
        )
