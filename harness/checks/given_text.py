"""Are the log-probabilities of a given text as close to float64 as the reference's? Knows no model and no server."""

from dataclasses import dataclass, replace

import numpy as np

from harness.checks.closeness import compare, roundoff
from harness.checks.evidence import Evidence, Sides
from harness.verdict import Cause, Finding, Outcome

_FITS = 0.1  # of the error that is left, if log-probabilities are those of the token before or after
_UNLIKE = 0.5  # nats (rms) from which it is not the arithmetic that differs but what was computed


@dataclass(frozen=True)
class GivenText:
    """`logprob` (float [texts, tokens], nats) is as close as `Closeness` has it; a failure says if it is shifted, or another model's."""

    logprob: str = "logprob"
    name: str = "given text"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return two findings, rms and worst, and a third without a bound: the mean over all tokens of either side (nats)."""
        sides = evidence.sides(self.logprob)
        if isinstance(sides, str):
            return [Finding(self.name, self.logprob, Outcome.INCOMPARABLE, message=sides)]
        found = compare(self.logprob, sides, roundoff(evidence, self.logprob), self.name)
        if not sides.one_shape():
            return found
        if why := _why(sides):
            found = [replace(f, message=f"{f.message}; {why}", cause=Cause.FORM) if f.outcome is Outcome.FAIL else f for f in found]
        means = [float(np.mean(side)) for side in (sides.candidate, sides.reference)]
        text = "mean log-probability of a token, either side; it informs and has no bound"
        return [*found, Finding(self.name, f"{self.logprob} mean", Outcome.PASS, means[0], unit="nats", reference=means[1], message=text)]


def _why(sides: Sides) -> str:
    """Say in words what explains a large error; empty where nothing does."""
    ours, golden = sides.candidate, sides.golden
    left = _rms(ours - golden)
    for words, moved in (("before", _rms(ours[:, 1:] - golden[:, :-1])), ("after", _rms(ours[:, :-1] - golden[:, 1:]))):
        if moved < _FITS * left:
            return f"they fit those of the token {words} each: shifted by one"
    if left > _UNLIKE:
        return f"{left:.2g} nats a token are no roundoff: another model, other weights (quantized?), or another text than was sent"
    return ""


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error)))) if error.size else 0.0
