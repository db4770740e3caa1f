"""Do random numbers have the reference's distribution, by the CANN standard (5.3.5)? Knows no generator and no distribution."""

from dataclasses import dataclass

import numpy as np

from harness.checks.evidence import Evidence
from harness.standards.cann.repetition import ALPHA, pass_rate, same_distribution
from harness.verdict import Cause, Finding, Outcome


@dataclass(frozen=True)
class CannRandom:
    """Each output is one test: candidate against reference, whole tensors, Kolmogorov-Smirnov at 1 %; enough of them must pass."""

    name: str = "cann_random"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding: the share of tests that pass, and the least that is accepted; none where there is no floating output."""
        pairs = [(evidence.candidate.tensors[name], evidence.reference.tensors.get(name)) for name in evidence.floating()]
        if not pairs:
            return []
        passed = sum(theirs is not None and same_distribution(ours, theirs) for ours, theirs in pairs)
        share, least = passed / len(pairs), pass_rate(len(pairs))
        outcome = Outcome.PASS if share >= least else Outcome.FAIL
        text = f"{passed} of {len(pairs)} tensors have the reference's distribution (p > {ALPHA}), {least:.2%} must"
        if all(np.array_equal(ours, theirs) for ours, theirs in pairs if theirs is not None):
            text += "; both sides drew the same numbers"
        cause = None if outcome is Outcome.PASS else Cause.RANDOM
        return [Finding(self.name, "distribution", outcome, 100 * share, 100 * least, "%", message=text, cause=cause)]
