"""Is a share of right answers the one that float64 has, near-ties aside? Knows no model.

A share jumps where a score crosses zero, so it is no number to compare by its relative error. A score that is nearer to zero in float64
than the reference device's scores are accurate (see `choices.score_noise`), in any of its runs, may be counted either way.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.choices import score_noise
from harness.checks.closeness import roundoff
from harness.checks.evidence import Evidence, Sides
from harness.verdict import Cause, Finding, Outcome

_ROUNDED = 2.0**-7  # of a share: counting is exact, and only the division rounds, in bfloat16 at the coarsest


@dataclass(frozen=True)
class Share:
    """At each step, `share` (float [steps]) is the share of `scores` (float [steps, n]) that are above zero in float64."""

    share: str
    scores: str
    name: str = "share"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding: at how many steps the share is wrong by more than near-ties; the bound is 0."""
        shares, scores = evidence.sides(self.share), evidence.sides(self.scores)
        for sides in (shares, scores):
            if isinstance(sides, str):
                return [Finding(self.name, self.share, Outcome.INCOMPARABLE, message=sides)]
        assert isinstance(shares, Sides)
        assert isinstance(scores, Sides)
        if not (shares.one_shape() and scores.one_shape()):
            text = f"shape {shares.candidate.shape}, reference {shares.reference.shape}, golden {shares.golden.shape}"
            return [Finding(self.name, self.share, Outcome.FAIL, message=text, cause=Cause.FORM)]
        u = roundoff(evidence, self.scores).floor
        runs = [scores.reference, *(rerun.tensors[self.scores] for rerun in evidence.reruns)]
        return [self._finding(shares.candidate, scores, max(score_noise(run, scores.golden, u) for run in runs))]

    def _finding(self, share: np.ndarray, scores: Sides, noise: float) -> Finding:
        if not np.isfinite(noise):
            return Finding(
                self.name, self.share, Outcome.INCOMPARABLE, message="the reference's own scores are not finite where float64 is"
            )
        least, most = np.mean(scores.golden > noise, axis=1), np.mean(scores.golden > -noise, axis=1)
        wrong = np.flatnonzero(~((share >= least - _ROUNDED) & (share <= most + _ROUNDED)))
        near = np.count_nonzero(np.abs(scores.golden) <= noise)
        if near == scores.golden.size:
            text = (
                f"each of the {near} scores is as near to zero as the reference is inaccurate ({noise:.3g}); nothing could have failed it"
            )
            return Finding(self.name, self.share, Outcome.MISTRUSTED, message=text)
        message, where = f"{near} of {scores.golden.size} scores are near-ties", ""
        if wrong.size:
            at = int(wrong[0])
            where = f"step {at} of {len(share)}"
            message = f"{wrong.size} of {len(share)} shares are wrong; the first is {share[at]:.4g}, right is {least[at]:.4g}"
            message += "" if least[at] == most[at] else f" to {most[at]:.4g}"
        outcome, cause = (Outcome.FAIL, Cause.VALUES) if wrong.size else (Outcome.PASS, None)
        return Finding(self.name, self.share, outcome, float(wrong.size), 0.0, "steps", where=where, message=message, cause=cause)
