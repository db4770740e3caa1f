"""Does greedy decoding give the reference's tokens, near-ties aside, and logits as close to float64? Knows no model.

Row i of the logits depends on the tokens before i, so rows are compared as far as all sides have produced the same prefix.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.choices import score_noise
from harness.checks.closeness import compare, roundoff
from harness.checks.evidence import Evidence, Sides
from harness.verdict import Finding, Outcome


@dataclass(frozen=True)
class Decoding:
    """`tokens` (int [steps]) equal the reference's up to the first near-tie, and `logits` (float [steps, vocabulary]) are close."""

    tokens: str
    logits: str
    name: str = "decoding"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding on the tokens (measured: equal tokens from the start) and two on the logits."""
        tokens, logits = evidence.sides(self.tokens), evidence.sides(self.logits)
        if isinstance(tokens, str) or isinstance(logits, str):
            return [Finding(self.name, self.tokens, Outcome.INCOMPARABLE, message=str(tokens if isinstance(tokens, str) else logits))]
        if not (tokens.one_shape() and logits.one_shape()):
            return [Finding(self.name, self.tokens, Outcome.FAIL, message=f"{len(tokens.candidate)} tokens, expected {len(tokens.golden)}")]
        u = roundoff(evidence, self.logits)
        differs = np.flatnonzero((tokens.candidate != tokens.golden) | (tokens.reference != tokens.golden))
        shared = (int(differs[0]) if differs.size else len(tokens.golden) - 1) + 1
        return [self._tokens(tokens, logits, u.floor, shared), *compare(self.logits, logits.first(shared), u, self.name)]

    def _tokens(self, tokens: Sides, logits: Sides, u: float, shared: int) -> Finding:
        steps = len(tokens.reference)
        differs = np.flatnonzero(tokens.candidate != tokens.reference)
        if not differs.size:
            return Finding(self.name, self.tokens, Outcome.PASS, float(steps), float(steps), "tokens", message=f"all {steps} tokens equal")
        at = int(differs[0])
        if at >= shared:  # the reference left the golden's path earlier: this step has no common prefix to be judged on
            text = (
                f"equal for {at} tokens; the reference had left the float64 path at step {shared - 1}, so the difference cannot be judged"
            )
            return Finding(
                self.name, self.tokens, Outcome.INCOMPARABLE, float(at), float(steps), "tokens", where=f"step {at}", message=text
            )
        ours, theirs = int(tokens.candidate[at]), int(tokens.reference[at])
        gap = abs(float(logits.golden[at, ours]) - float(logits.golden[at, theirs]))
        noise = 2 * score_noise(logits.reference[at], logits.golden[at], u)
        text = f"token {ours} instead of {theirs}; in float64 they are {gap:.3g} apart, a near-tie is up to {noise:.3g}"
        outcome = Outcome.PASS if gap <= noise else Outcome.FAIL
        if outcome is Outcome.PASS:
            text += f": a near-tie. The {steps - at - 1} tokens after it have no common prefix and were not compared"
        return Finding(self.name, self.tokens, outcome, float(at), float(steps), "tokens", where=f"step {at}", message=text)
