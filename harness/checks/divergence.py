"""How far is the distribution of the next token from float64's, place by place, beside the reference's? Knows no model.

KL(p || q) = sum p ln(p / q) with p the golden's softmax and q a side's. With d the difference of the logits and c = d - sum p d it is
ln(1 + sum p (e^-c - 1 + c)), which keeps its digits where q is nearly p (a plain sum of logarithms would lose them in float32 cases).
For small errors it is half of their variance under p (Kullback, Information Theory and Statistics, 2.6), so bounds are the squares of
those of `closeness`: on average 4 times what the reference has, widened for few places; at the worst place 100 times. Never less is
allowed than logits off by one roundoff each cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.checks.closeness import RMS_RATIO, WORST_RATIO, roundoff, widening
from harness.checks.decoding import shared_prefix
from harness.checks.evidence import Evidence, Sides
from harness.verdict import Cause, Finding, Outcome

_TOLD = 1024  # places of which a curve is told
_BLUNT = 0.5  # nats that a bound may allow


def divergences(golden: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return KL(golden || side) in nats of each row of logits [..., vocabulary], float64 [...]. Not finite where the side is not."""
    p = _softmax(golden)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = golden - side
        centred = apart - (p * apart).sum(-1, keepdims=True)
        found: np.ndarray = np.log1p((p * (np.expm1(-centred) + centred)).sum(-1))
    return found.clip(0.0)


def _softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True))
    softened: np.ndarray = raised / raised.sum(-1, keepdims=True)
    return softened


@dataclass(frozen=True)
class Divergence:
    """KL of `logits` [..., vocabulary], place by place; with `tokens` [...] as far as all sides have the same prefix."""

    logits: str
    tokens: str = ""
    name: str = "divergence"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return two findings, the mean and the worst place, in nats."""
        found = self._found(evidence)
        if isinstance(found, Finding):
            return [found]
        ours, theirs, least = found
        wide = widening(max(ours.size, 10)) ** 2
        places = (
            ("mean", float(ours.mean()), float(theirs.mean()), max(RMS_RATIO**2 * theirs.mean(), RMS_RATIO**2 * least.mean()) * wide, ""),
            ("worst", float(ours.max()), float(theirs.max()), max(WORST_RATIO**2 * theirs.max(), WORST_RATIO**2 * least.max()),
             f"place {int(np.argmax(ours))} of {ours.size}"),
        )  # fmt: skip
        return [self._finding(*one) for one in places]

    def told(self, evidence: Evidence, /) -> Mapping[str, Any]:
        """Return the curves of candidate and reference in nats, as `kl/<output>`: at most the first 1,024 places."""
        found = self._found(evidence)
        if isinstance(found, Finding):
            return {}
        return {f"kl/{self.logits}": [[float(f"{value:.4g}") for value in side[:_TOLD]] for side in found[:2]]}

    def _found(self, evidence: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray] | Finding:
        """Return the KL of candidate and reference, and what roundoff costs, by place; or why there is none."""
        sides = evidence.sides(self.logits)
        tokens = evidence.sides(self.tokens) if self.tokens else None
        for one in (sides, tokens):
            if isinstance(one, str):
                return Finding(self.name, self.logits, Outcome.INCOMPARABLE, message=one)
        assert isinstance(sides, Sides)
        if not sides.one_shape() or (isinstance(tokens, Sides) and not tokens.one_shape()):
            return Finding(self.name, self.logits, Outcome.FAIL, message="another shape than the golden's", cause=Cause.FORM)
        if isinstance(tokens, Sides):
            shared = shared_prefix(tokens)
            sides = Sides(*(side[shared] for side in sides))
        golden = sides.golden.reshape(-1, sides.golden.shape[-1])
        ours, theirs = (divergences(golden, np.asarray(side, np.float64).reshape(golden.shape)) for side in sides[:2])
        if not np.isfinite(theirs).all():
            return Finding(self.name, self.logits, Outcome.INCOMPARABLE, message="the reference's own logits are not finite")
        unit = roundoff(evidence, self.logits).floor
        return ours, theirs, (_softmax(golden) * (unit * golden) ** 2).sum(-1) / 2

    def _finding(self, metric: str, measured: float, own: float, allowed: float, where: str) -> Finding:
        subject = f"{self.logits} {metric}"
        if not measured <= allowed:
            text = f"{measured:.3g} nats from float64, allowed {allowed:.3g} (the reference device: {own:.3g})"
            return Finding(self.name, subject, Outcome.FAIL, measured, allowed, "nats", own, where=where, message=text)
        blunt = metric == "mean" and allowed >= _BLUNT
        outcome, text = (Outcome.MISTRUSTED, "so much is allowed that nothing could have failed") if blunt else (Outcome.PASS, "")
        return Finding(self.name, subject, outcome, measured, allowed, "nats", own, where=where, message=text)
