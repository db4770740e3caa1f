"""Does an engine give the same answer again, and in company? It informs and has no bound: engines differ, and rounding is no fault.

Whether an answer in company is right is judged by `Continued`. Batch-invariant engines (vLLM with VLLM_BATCH_INVARIANT=1) give equal bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.checks.continued import ALONE
from harness.checks.evidence import Evidence
from harness.verdict import Finding, Outcome


@dataclass(frozen=True)
class Company:
    """Compare the candidate's `<answer>_tokens` and `<answer>_logprob` with its own `alone_...`: asked again, and beside others."""

    answers: tuple[str, ...] = ("again", "together")
    name: str = "company"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding an answer: how many rows have other tokens than alone."""
        own = evidence.candidate.tensors
        return [self._one(own, answer) for answer in self.answers if f"{answer}_tokens" in own]

    def _one(self, own: Mapping[str, np.ndarray], answer: str) -> Finding:
        tokens = own[f"{answer}_tokens"]
        same = np.logical_and.accumulate(tokens == own[f"{ALONE}_tokens"], axis=1)
        rows = int(np.count_nonzero(~same.all(axis=1)))
        words = f"{len(tokens) - rows} of {len(tokens)} answers have the tokens of the first time, when each was asked for alone"
        if f"{answer}_logprob" in own and f"{ALONE}_logprob" in own:
            moved = np.abs(own[f"{answer}_logprob"] - own[f"{ALONE}_logprob"])[same]
            most = float(moved.max(initial=0.0))
            words += (
                "; their log-probabilities are equal to the last bit"
                if most == 0
                else f"; their log-probabilities move by up to {most:.2g} nats"
            )
        return Finding(self.name, answer, Outcome.PASS, float(rows), None, "other answers", message=words)
