"""Are the tokens that somebody chose greedily those of float64, near-ties aside? For engines that tell tokens and no logits.

The golden gives at each step its likeliest tokens with their log-probabilities (`best`, `best_logprob`). How close together two of them
must lie to be a near-tie is told by the reference device, as in `choices`: ten times its own worst error on the same tokens, at least
two roundoffs.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.choices import score_noise
from harness.checks.closeness import UNIT_ROUNDOFF, compare, roundoff
from harness.checks.evidence import Evidence, Sides
from harness.recording import Recording
from harness.verdict import Cause, Finding, Outcome

ALONE = "alone"  # prefix of what an engine answered to each prompt by itself
_TOP = 8  # of the golden's likeliest tokens, those on which the reference's error is measured


@dataclass(frozen=True)
class Continued:
    """`<answer>_tokens` (int [answers, steps]) are the golden's `alone_tokens` up to the first near-tie, and `<answer>_logprob` are close.

    `rows` names an output int [answers] that says which prompt each answers; without it they are in the order of the prompts. `where`
    says of a wrong answer how it was asked for. A row of -1 is no answer, and is left to others.
    """

    answer: str = ALONE
    rows: str = ""
    where: str = ""
    name: str = "continued"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding on the tokens (measured: answers that are wrong; the bound is 0), and two on log-probabilities."""
        golden, ours, name = evidence.golden, evidence.candidate, f"{self.answer}_tokens"
        if golden is None or "best" not in golden.tensors:
            return [Finding(self.name, name, Outcome.INCOMPARABLE, message="there is no float64 golden of these prompts")]
        if name not in ours.tensors:
            text = "the server does not tell its tokens' ids, so nobody saw whether they are right"
            return [Finding(self.name, name, Outcome.INCONCLUSIVE, message=text)]
        tokens = ours.tensors[name]
        rows = ours.tensors[self.rows] if self.rows else np.arange(len(tokens))
        if tokens.shape[1:] != golden.tensors[f"{ALONE}_tokens"].shape[1:] or (rows.size and rows.max() >= len(golden.tensors["best"])):
            return [Finding(self.name, name, Outcome.FAIL, message=f"answers of shape {tokens.shape}", cause=Cause.FORM)]
        answered = tokens.min(axis=1, initial=0) >= 0 if tokens.size else np.zeros(len(tokens), bool)
        found = self._tokens(evidence, tokens[answered], rows[answered], np.flatnonzero(answered))
        return [found, *self._logprobs(evidence, rows)]

    def _tokens(self, evidence: Evidence, tokens: np.ndarray, rows: np.ndarray, numbers: np.ndarray) -> Finding:
        assert evidence.golden is not None
        name, noise = f"{self.answer}_tokens", _noise(evidence)
        gaps = [_parting(answer, evidence.golden, row) for answer, row in zip(tokens, rows, strict=True)]
        wrong = [i for i, (_, gap, _) in enumerate(gaps) if gap > noise]
        near = sum(gap > 0 for _, gap, _ in gaps) - len(wrong)
        figures = (float(len(wrong)), 0.0, "wrong answers")
        if not len(tokens):
            return Finding(self.name, name, Outcome.INCONCLUSIVE, *figures, message="there is no whole answer")
        if wrong and not noise:
            text = "answers differ from float64's, and the reference tells no log-probabilities: nobody knows what a near-tie is"
            return Finding(self.name, name, Outcome.INCONCLUSIVE, *figures, message=text)
        if not wrong:
            text = (
                f"{len(tokens) - near} of {len(tokens)} answers equal float64's in all {tokens.shape[1]} tokens, {near} part at a near-tie"
            )
            return Finding(self.name, name, Outcome.PASS, *figures, message=text)
        worst = max(wrong, key=lambda i: gaps[i][1])
        step, _, text = gaps[worst]
        text = f"{len(wrong)} of {len(tokens)} answers{self.where} are wrong; the worst: {text}, a near-tie is up to {noise:.3g} nats"
        return Finding(self.name, name, Outcome.FAIL, *figures, where=f"answer {numbers[worst]}, step {step}", message=text)

    def _logprobs(self, evidence: Evidence, rows: np.ndarray) -> list[Finding]:
        """Return findings on the log-probabilities of tokens that all sides chose after the same prefix."""
        name, own, golden = f"{self.answer}_logprob", f"{ALONE}_logprob", evidence.golden
        assert golden is not None
        if name not in evidence.candidate.tensors or own not in evidence.reference.tensors:
            text = "a side tells no log-probabilities of new tokens; only the tokens were compared"
            return [Finding(self.name, name, Outcome.UNSUPPORTED, message=text)] if self.answer == ALONE else []
        theirs = [_of_rows(side, f"{ALONE}_tokens", rows) for side in (evidence.reference, golden)]
        alike = (evidence.candidate.tensors[f"{self.answer}_tokens"] == theirs[1]) & (theirs[0] == theirs[1])
        common = np.logical_and.accumulate(alike, axis=1)
        sides = Sides(evidence.candidate.tensors[name][common], *(_of_rows(s, own, rows)[common] for s in (evidence.reference, golden)))
        if sides.golden.size < 2:
            return [Finding(self.name, name, Outcome.INCONCLUSIVE, message="no two tokens were chosen by all sides")]
        return compare(name, sides, roundoff(evidence, name), self.name)


def _of_rows(side: Recording, name: str, rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = side.tensors[name][rows]
    return found


def _parting(answer: np.ndarray, golden: Recording, row: int) -> tuple[int, float, str]:
    """Return the first step at which an answer leaves the golden, how much less likely (nats) its token is there, and words."""
    differs = answer != golden.tensors[f"{ALONE}_tokens"][row]
    if not differs.any():
        return len(answer), 0.0, ""
    step = int(differs.argmax())
    ids, values = golden.tensors["best"][row, step], golden.tensors["best_logprob"][row, step]
    found = np.flatnonzero(ids == answer[step])
    gap = float(values[0] - (values[found[0]] if found.size else values[-1]))
    least = "" if found.size else "at least "
    return step, max(gap, np.finfo(float).tiny), f"token {answer[step]} instead of {ids[0]}, in float64 {least}{gap:.3g} nats less likely"


def _noise(evidence: Evidence) -> float:
    """Return by how much two log-probabilities may differ in float64 and yet be told apart wrongly by a sound device (nats).

    It is 0 where the reference tells nothing of its own.
    """
    assert evidence.golden is not None
    reference, golden = evidence.reference.tensors, evidence.golden.tensors
    if f"{ALONE}_tokens" not in reference:
        return 0.0
    alike = reference[f"{ALONE}_tokens"] == golden[f"{ALONE}_tokens"]
    same = np.concatenate([np.ones_like(alike[:, :1]), np.logical_and.accumulate(alike, axis=1)[:, :-1]], axis=1)
    ours, right = [], []
    for row, step in np.argwhere(same):
        ids, values = golden["best"][row, step, :_TOP], golden["best_logprob"][row, step, :_TOP]
        if "best" in reference:
            _, mine, its = np.intersect1d(reference["best"][row, step], ids, return_indices=True)
            ours.append(reference["best_logprob"][row, step][mine])
            right.append(values[its])
        elif f"{ALONE}_logprob" in reference and alike[row, step]:  # another engine: only the token that it chose
            ours.append(reference[f"{ALONE}_logprob"][row, step : step + 1])
            right.append(values[:1])
    return 2 * score_noise(np.concatenate(ours), np.concatenate(right), UNIT_ROUNDOFF["float32"]) if ours else 0.0
