"""Does decoding give the reference's tokens, near-ties aside, and logits as close to float64? Knows no model.

Row i of the logits depends on the tokens before i, so rows are compared as far as all sides have produced the same prefix. Sampling is
decoding too, where the noise is given (Gumbel-max): the token is that of the largest of logits + noise.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.choices import score_noise
from harness.checks.closeness import compare, roundoff
from harness.checks.evidence import Evidence, Sides
from harness.verdict import Finding, Outcome

_WORST_FIRST = (Outcome.FAIL, Outcome.INCOMPARABLE, Outcome.PASS)


@dataclass(frozen=True)
class Decoding:
    """`tokens` (int [..., steps]) equal the reference's up to the first near-tie, and `logits` (float [..., steps, vocabulary]) are close.

    `noise` names an output of the logits' shape that was added to them before the largest was taken. `beside` are outputs with a
    figure a token, of the tokens' shape; they are compared as far as the tokens are equal.
    """

    tokens: str
    logits: str
    noise: str = ""
    beside: tuple[str, ...] = ()
    name: str = "decoding"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding on the tokens (measured: equal ones from the start), two on the logits and on each output beside them."""
        sides = {name: evidence.sides(name) for name in (self.tokens, self.logits, self.noise, *self.beside) if name}
        found: dict[str, Sides] = {}
        for name, side in sides.items():
            if isinstance(side, str):
                return [Finding(self.name, self.tokens, Outcome.INCOMPARABLE, message=side)]
            found[name] = side
        tokens, logits = found[self.tokens], found[self.logits]
        if not all(side.one_shape() for side in found.values()):
            text = f"{tokens.candidate.size} tokens, expected {tokens.golden.size}"
            return [Finding(self.name, self.tokens, Outcome.FAIL, message=text)]
        alike, sharing = _alike(tokens), shared_prefix(tokens)
        scores = Sides(*(a + b for a, b in zip(logits, found[self.noise], strict=True))) if self.noise else logits
        findings = [self._tokens(tokens, scores, roundoff(evidence, self.logits).floor)]
        for name, where in ((self.logits, sharing), *((name, alike) for name in self.beside)):
            findings += compare(name, Sides(*(side[where] for side in found[name])), roundoff(evidence, name), self.name)
        return findings

    def _tokens(self, tokens: Sides, scores: Sides, u: float) -> Finding:
        """Judge the first difference of each row; the finding is that of the worst row."""
        steps = tokens.golden.shape[-1]
        rows = [_row(tokens, scores, index) for index in np.ndindex(tokens.golden.shape[:-1])]
        apart = [(index, *_parting(*row, u)) for index, row in rows if (row[0].candidate != row[0].reference).any()]
        equal, total = float(sum(at for _, at, *_ in apart) + steps * (len(rows) - len(apart))), float(steps * len(rows))
        if not apart:
            return Finding(self.name, self.tokens, Outcome.PASS, equal, total, "tokens", message=f"all {total:.0f} tokens equal")
        index, at, outcome, text = min(apart, key=lambda row: _WORST_FIRST.index(row[2]))
        where = f"{f'row {[int(i) for i in index]}, ' if index else ''}step {at}"
        if len(apart) > 1:
            text = f"{len(apart)} of {len(rows)} rows part from the reference; the worst: {text}"
        return Finding(self.name, self.tokens, outcome, equal, total, "tokens", where=where, message=text)


def shared_prefix(tokens: Sides) -> np.ndarray:
    """Return at which steps [..., steps] all sides have the same tokens before them: the first that differs is such a step, too."""
    alike = _alike(tokens)
    return np.concatenate([np.ones_like(alike[..., :1]), alike[..., :-1]], -1)


def _alike(tokens: Sides) -> np.ndarray:
    """Return at which steps of each row neither device has differed from the golden yet."""
    found: np.ndarray = _first_difference(tokens)[..., None] > np.arange(tokens.golden.shape[-1])
    return found


def _first_difference(tokens: Sides) -> np.ndarray:
    """Return the first step of each row at which one of the devices differs from the golden; the number of steps where none does."""
    differs = (tokens.candidate != tokens.golden) | (tokens.reference != tokens.golden)
    first: np.ndarray = np.where(differs.any(-1), differs.argmax(-1), differs.shape[-1])
    return first


def _row(tokens: Sides, scores: Sides, index: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[Sides, Sides]]:
    return index, (Sides(*(side[index] for side in tokens)), Sides(*(side[index] for side in scores)))


def _parting(tokens: Sides, scores: Sides, u: float) -> tuple[int, Outcome, str]:
    """Say at which step a row first differs from the reference's, whether that is a fault, and why."""
    steps, at = len(tokens.golden), int(np.argmax(tokens.candidate != tokens.reference))
    left = int(_first_difference(tokens))
    if at > left:  # the reference left the golden's path earlier: this step has no common prefix to be judged on
        text = f"equal for {at} tokens; the reference had left the float64 path at step {left}, so the difference cannot be judged"
        return at, Outcome.INCOMPARABLE, text
    ours, theirs = int(tokens.candidate[at]), int(tokens.reference[at])
    gap = abs(float(scores.golden[at, ours]) - float(scores.golden[at, theirs]))
    noise = 2 * score_noise(scores.reference[at], scores.golden[at], u)
    text = f"token {ours} instead of {theirs}; in float64 they are {gap:.3g} apart, a near-tie is up to {noise:.3g}"
    if gap > noise:
        return at, Outcome.FAIL, text
    return at, Outcome.PASS, f"{text}: a near-tie. The {steps - at - 1} tokens after it have no common prefix and were not compared"
