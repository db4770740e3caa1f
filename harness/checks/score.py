"""Does the candidate answer the same questions right? Compared sample by sample. Knows no task and no model.

Both sides answer the same n samples. Let b be those that only the reference has right and c those that only the candidate
has right; the others say nothing about a difference. If the devices were equally good, each of the m = b + c discordant
samples would fall on either side with probability 1/2, so the exact two-sided McNemar test (McNemar, Psychometrika 1947) is a
binomial test of b out of m. The check fails for p < alpha only, in either direction: a candidate that is better by more than
chance does not do the same arithmetic either.

With every finding goes the smallest difference that the test could have called significant: the least |b - c| / n with p < alpha
among the discordant samples at hand, or among the fewest that can reach alpha at all (8 for alpha = 0.01) where there are not
so many. It is the threshold of the test and not its power: a true difference of that size is found about half of the time.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binomtest

from harness.checks.evidence import Evidence
from harness.verdict import Finding, Outcome


def mcnemar(b: int, c: int) -> float:
    """Return the exact two-sided p-value of b against c discordant samples; 1 when there is none."""
    return float(binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0


@lru_cache
def smallest_shown(discordant: int, alpha: float) -> int:
    """Return the least |b - c| that is significant at `alpha` with so many discordant samples, or with the fewest that can be."""
    fewest = math.floor(1 - math.log2(alpha)) + 1  # the least m with 2 * 2^-m < alpha
    m = max(discordant, fewest)
    return next(m - 2 * b for b in range(m // 2, -1, -1) if mcnemar(b, m - b) < alpha)


@dataclass(frozen=True)
class Score:
    """The same samples are answered right, up to chance: exact McNemar test at `alpha`. It needs the outputs of an accuracy workload."""

    alpha: float = 0.01
    name: str = "score"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding on the accuracy (%) and, where there are log-likelihoods, one on their largest difference (nats)."""
        if mismatch := _mismatch(evidence):
            return [Finding(self.name, "samples", Outcome.INCOMPARABLE, message=mismatch)]
        ours, theirs = (side.tensors["correct"].astype(bool) for side in (evidence.candidate, evidence.reference))
        findings = [self._accuracy(ours, theirs)]
        if "loglikelihood" in evidence.reference.tensors:
            findings.append(self._loglikelihood(evidence))
        return findings

    def _accuracy(self, ours: np.ndarray, theirs: np.ndarray) -> Finding:
        n, b, c = ours.size, int(np.count_nonzero(theirs & ~ours)), int(np.count_nonzero(ours & ~theirs))
        p = mcnemar(b, c)
        shown = smallest_shown(b + c, self.alpha)
        outcome = Outcome.FAIL if p < self.alpha else Outcome.PASS
        if shown > n:
            outcome, text = Outcome.MISTRUSTED, f"n={n} samples cannot show any difference at alpha={self.alpha:g}; take more"
        elif b + c == 0:
            text = f"no sample differs; with n={n} samples a difference under {100 * shown / n:.1f} points would not have been seen"
        else:
            text = f"{_judged(p, self.alpha, b, c)}; with n={n} samples the smallest difference that shows is {100 * shown / n:.1f} points"
        message = f"n={n}, b={b} (only the reference right), c={c} (only the candidate right), exact McNemar p={p:.3g}: {text}"
        interval = binomtest(int(ours.sum()), n).proportion_ci(0.95, method="wilson")
        return Finding(
            self.name, "accuracy", outcome, 100 * float(ours.mean()), None, "%", 100 * float(theirs.mean()),
            100 * float(interval.low), 100 * float(interval.high), message=message,
        )  # fmt: skip

    def _loglikelihood(self, evidence: Evidence) -> Finding:
        ours, theirs = (side.tensors["loglikelihood"] for side in (evidence.candidate, evidence.reference))
        if not np.isfinite(theirs).all():
            text = f"{np.count_nonzero(~np.isfinite(theirs))} of the reference's own {theirs.size} log-likelihoods are not finite"
            return Finding(self.name, "loglikelihood", Outcome.INCOMPARABLE, message=text)
        bad = np.flatnonzero(~np.isfinite(ours))
        if bad.size:
            text = f"{bad.size} of {ours.size} log-likelihoods are not finite where the reference's are; the first is {ours[bad[0]]}"
            place = f"request {bad[0]}"
            return Finding(self.name, "loglikelihood", Outcome.FAIL, float(bad.size), 0.0, "requests", where=place, message=text)
        difference = np.abs(ours - theirs)
        at = int(difference.argmax())
        text = "largest difference between the two sides; it informs and has no bound"
        return Finding(self.name, "loglikelihood", Outcome.PASS, float(difference[at]), unit="nats", where=f"request {at}", message=text)


def _judged(p: float, alpha: float, b: int, c: int) -> str:
    if p >= alpha:
        return f"no difference beyond chance (alpha={alpha:g})"
    return f"the candidate is {'worse' if b > c else 'better'} beyond chance (alpha={alpha:g})"


def _mismatch(evidence: Evidence) -> str:
    """Say why the samples of the two sides cannot be paired; empty when they can."""
    ours, theirs = evidence.candidate, evidence.reference
    for key, what in (("doc_hash", "documents"), ("prompt_hash", "prompts")):
        lists = [[sample.get(key) for sample in side.details.get("samples", ())] for side in (ours, theirs)]
        if not all(lists):
            return "a recording without samples; record this case again"
        if len(lists[0]) != len(lists[1]):
            return f"{len(lists[0])} samples, the reference has {len(lists[1])}; record both with the same case"
        different = [i for i, pair in enumerate(zip(*lists, strict=True)) if pair[0] != pair[1] or pair[0] is None]
        if different:
            remedy = "the data, the task or the tokenizer are not the same; record both with the same versions"
            return f"the {what} of {len(different)} of {len(lists[0])} samples differ, first in sample {different[0]}: {remedy}"
    for output in ("correct", "loglikelihood"):
        shapes = [side.tensors[output].shape if output in side.tensors else None for side in (ours, theirs)]
        if shapes[0] != shapes[1] or (output == "correct" and shapes[0] != (len(ours.details["samples"]),)):
            return f"output {output!r} has shape {shapes[0]}, the reference {shapes[1]}; record both with the same case"
    return ""
