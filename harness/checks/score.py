"""Does the candidate answer the same questions equally well? Compared sample by sample. Knows no task and no model.

Both sides answer the same n samples, and only those count on which they differ. There are three answers, and the third is one of its own:

    fail          the exact McNemar test finds a difference, or the interval of the difference lies beyond the margin
    pass          else the whole 95 % interval of the difference lies within the margin: two one-sided tests, at 2.5 % each
    inconclusive  else: these samples cannot tell

The interval is Tango's (`harness.paired`), which holds with few discordant samples or none. A difference fails in either direction: a
candidate that is better by more than chance does not do the same arithmetic either. `alpha` is shared by the `family` of tasks asked
together (Bonferroni, so that a verdict does not wait for the others; a report corrects with Holm, which is never stricter). An equal score
says nothing where the reference itself answers no better than chance: that too is inconclusive.

A score that is no yes or no (F1, bits per byte) has a bootstrap interval, and the sign-flip test in the place of McNemar's. Of likelihoods
every difference is significant with enough text, so bits per byte are judged by the margin alone, which is then a share of the reference's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import binomtest

from harness.checks.evidence import Evidence
from harness.detectable import POWER, detectable, threshold
from harness.paired import Interval, bootstrap, mcnemar, sign_flips, tango
from harness.verdict import Finding, Outcome

_FEWEST = 20  # samples below which a bootstrap interval is too narrow to be believed
_RELATIVE = "bits_per_byte"


@dataclass(frozen=True)
class Judged:
    """What was found of one task: the difference with its interval, and by which rule it ended. Fractions, or the metric's own unit."""

    outcome: Outcome
    difference: Interval
    margin: float
    p: float | None
    text: str
    counts: Mapping[str, float | None]


@dataclass(frozen=True)
class Score:
    """The score is the same within `margin`: points of 100, or per cent of the reference's bits per byte. For accuracy workloads."""

    margin: float = 2.0
    family: int = 1
    alpha: float = 0.05
    name: str = "score"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return findings on the difference, on the score, and, where there are log-likelihoods, on how far they have moved (nats)."""
        if mismatch := _mismatch(evidence):
            return [Finding(self.name, "samples", Outcome.INCOMPARABLE, message=mismatch)]
        if bad := _not_finite(evidence):
            return [bad, *_loglikelihoods(evidence, self.name)]
        return [*self._scores(evidence), *_loglikelihoods(evidence, self.name)]

    def told(self, evidence: Evidence, /) -> Mapping[str, Any]:
        """Return what a report draws: margin, interval, p-value and counts, the task and its groups. Empty where nothing was compared."""
        if _mismatch(evidence) or _not_finite(evidence):
            return {}
        judged, details = self._judge(evidence), evidence.candidate.details
        described = {key: details.get(key) for key in ("task", "metric", "groups", "chance")}
        found: dict[str, object] = {"low": judged.difference.low, "high": judged.difference.high, "difference": judged.difference.mean}
        for side, scores in zip(("candidate", "reference"), _answers(evidence), strict=True):
            found[side] = [float(scores.mean()), *_own_interval(scores)]
        return {"score": {**described, **found, **judged.counts, "p": judged.p, "margin": judged.margin, "family": self.family}}

    def _scores(self, evidence: Evidence) -> list[Finding]:
        ours, theirs = _answers(evidence)
        judged, scale, unit = self._judge(evidence), _scale(evidence), _unit(evidence)
        low, high = _own_interval(ours)
        found = judged.difference
        difference = Finding(
            self.name, "difference", judged.outcome, scale * found.mean, scale * judged.margin, "points" if unit == "%" else unit,
            None, scale * found.low, scale * found.high, message=judged.text,
        )  # fmt: skip
        score, reference = scale * float(ours.mean()), scale * float(theirs.mean())
        text = f"{score:.4g} {unit} [{scale * low:.4g}, {scale * high:.4g}], the reference {reference:.4g} {unit}"
        return [difference, Finding(
            self.name, "accuracy", judged.outcome, score, None, unit, reference, scale * low, scale * high, message=text
        )]  # fmt: skip

    def _judge(self, evidence: Evidence) -> Judged:
        ours, theirs = _answers(evidence)
        if "correct" in evidence.reference.tensors:
            return _with_signal(self._binary(ours.astype(bool), theirs.astype(bool)), theirs, evidence.reference.details.get("chance"))
        return self._graded(ours, theirs, _metric(evidence))

    def _binary(self, ours: np.ndarray, theirs: np.ndarray) -> Judged:
        n, b, c = ours.size, int(np.count_nonzero(theirs & ~ours)), int(np.count_nonzero(ours & ~theirs))
        alpha, p, margin = self.alpha / self.family, mcnemar(b, c), self.margin / 100
        difference = tango(n, b, c, 0.95)
        beyond = tango(n, b, c, 1 - alpha).beyond(margin)
        outcome, text = self._decide(difference, margin, p < alpha or beyond, f"{100 * margin:g} points")
        noise = (b + c) / n
        shown, found = threshold(b + c, alpha) / n, detectable(n, noise, alpha)
        head = f"n={n}, b={b} (only the reference right), c={c} (only the candidate right), exact McNemar p={p:.3g} (alpha={alpha:.3g})"
        text = f"{head}, difference {_points(difference)}: {text}; {_power(n, shown, found)}"
        counts = {"n": n, "b": b, "c": c, "threshold": shown, "detectable": found, "alpha": alpha}
        return Judged(outcome, difference, margin, p, text, counts)

    def _graded(self, ours: np.ndarray, theirs: np.ndarray, metric: str) -> Judged:
        relative, n, alpha, unit = metric == _RELATIVE, ours.size, self.alpha / self.family, metric.replace("_", " ")
        margin = self.margin / 100 * (float(theirs.mean()) if relative else 1.0)
        difference = bootstrap(ours - theirs)
        p = None if relative else sign_flips(ours - theirs)
        differs = bootstrap(ours - theirs, 1 - alpha).beyond(margin) or (p is not None and p < alpha)
        bound = f"{margin:.3g} {unit}" + (f", {self.margin:g} % of the reference's" if relative else "")
        outcome, text = self._decide(difference, margin, differs and n >= _FEWEST, bound, more_is_worse=relative)
        if n < _FEWEST:
            outcome, text = Outcome.INCONCLUSIVE, f"cannot tell: {n} samples are too few for an interval; take at least {_FEWEST}"
        half = (difference.high - difference.low) / 2
        tested = "" if p is None else f"sign-flip p={p:.3g} (alpha={alpha:.3g}), "
        shown = f"the interval's half width, {half:.2g} {unit}, is the smallest difference that shows" if half else "no sample differs"
        counts = {"n": n, "threshold": half, "detectable": None, "alpha": alpha}
        return Judged(outcome, difference, margin, p, f"n={n}, {tested}difference {difference.text(unit)}: {text}; {shown}", counts)

    def _decide(self, found: Interval, margin: float, differs: bool, bound: str, more_is_worse: bool = False) -> tuple[Outcome, str]:
        if differs:
            small = f", though within {bound}" if found.within(margin) else ""
            return Outcome.FAIL, f"the candidate is {'worse' if (found.mean < 0) != more_is_worse else 'better'} beyond chance{small}"
        if found.within(margin):
            return Outcome.PASS, f"equal within {bound} (95 %)"
        return Outcome.INCONCLUSIVE, f"cannot tell: neither equal within {bound} nor different beyond chance; take more samples"


def _with_signal(judged: Judged, theirs: np.ndarray, chance: object) -> Judged:
    """Return what was judged; a pass only where the reference is better than `chance` (a fraction; one-sided, 5 %)."""
    if judged.outcome is not Outcome.PASS or not isinstance(chance, float):
        return judged
    right = int(np.count_nonzero(theirs))
    if binomtest(right, theirs.size, chance, alternative="greater").pvalue < 0.05:
        return judged
    text = (
        f"cannot tell: the reference's own {100 * right / theirs.size:.1f} % is no better than chance ({100 * chance:.1f} %); {judged.text}"
    )
    return replace(judged, outcome=Outcome.INCONCLUSIVE, text=text)


def _points(difference: Interval) -> str:
    return f"{100 * difference.mean:+.1f} points [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def _power(n: int, shown: float, found: float | None) -> str:
    if shown > 1:
        return f"{n} samples show no difference at all"
    least = f"the smallest difference that shows is {100 * shown:.1f} points"
    return f"{least}, a loss that is found {POWER:.0%} of the time {'none' if found is None else f'{100 * found:.1f} points'}"


def _answers(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    name = "correct" if "correct" in evidence.reference.tensors else "score"
    return evidence.candidate.tensors[name].astype(np.float64), evidence.reference.tensors[name].astype(np.float64)


def _not_finite(evidence: Evidence) -> Finding | None:
    """Return a finding where a score is no number: nothing can be compared with that."""
    bad = [int(np.count_nonzero(~np.isfinite(scores))) for scores in _answers(evidence)]
    if not any(bad):
        return None
    text = f"{bad[0]} scores are not finite, {bad[1]} of the reference's"
    return Finding("score", "difference", Outcome.INCOMPARABLE if bad[1] else Outcome.FAIL, message=text)


def _metric(evidence: Evidence) -> str:
    return str(evidence.reference.details.get("metric", "score"))


def _scale(evidence: Evidence) -> float:
    return 1.0 if _metric(evidence) == _RELATIVE else 100.0


def _unit(evidence: Evidence) -> str:
    return "bits per byte" if _metric(evidence) == _RELATIVE else "%"


def _own_interval(scores: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of one side's mean: Wilson's of a share, else the bootstrap's."""
    if np.isin(scores, (0, 1)).all():
        found = binomtest(int(scores.sum()), scores.size).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)
    interval = bootstrap(scores)
    return interval.low, interval.high


def _loglikelihoods(evidence: Evidence, check: str) -> list[Finding]:
    """Return findings on log-likelihoods: none that is not finite, the mean difference with its interval, and the largest."""
    if "loglikelihood" not in evidence.reference.tensors:
        return []
    ours, theirs = (side.tensors["loglikelihood"] for side in (evidence.candidate, evidence.reference))
    if not np.isfinite(theirs).all():
        text = f"{np.count_nonzero(~np.isfinite(theirs))} of the reference's own {theirs.size} log-likelihoods are not finite"
        return [Finding(check, "loglikelihood", Outcome.INCOMPARABLE, message=text)]
    bad = np.flatnonzero(~np.isfinite(ours))
    if bad.size:
        text = f"{bad.size} of {ours.size} log-likelihoods are not finite where the reference's are; the first is {ours[bad[0]]}"
        place = f"request {bad[0]}"
        return [Finding(check, "loglikelihood", Outcome.FAIL, float(bad.size), 0.0, "requests", where=place, message=text)]
    at = int(np.abs(ours - theirs).argmax())
    largest = Finding(
        check, "loglikelihood", Outcome.PASS, float(np.abs(ours - theirs)[at]), unit="nats", where=f"request {at}",
        message="largest difference between the two sides; it informs and has no bound",
    )  # fmt: skip
    drift = bootstrap(_by_sample(evidence, ours - theirs))
    text = f"mean over samples, candidate minus reference: {drift.text('nats')} (95 %, paired bootstrap); it informs and has no bound"
    return [largest, Finding(check, "drift", Outcome.PASS, drift.mean, unit="nats", low=drift.low, high=drift.high, message=text)]


def _by_sample(evidence: Evidence, differences: np.ndarray) -> np.ndarray:
    """Return the mean of differences [requests] over the requests of each sample: those of one sample are not independent."""
    sizes = [len(sample.get("loglikelihoods", ())) for sample in evidence.reference.details["samples"]]
    if sum(sizes) != differences.size or not all(sizes):
        return differences
    return np.array([part.mean() for part in np.split(differences, np.cumsum(sizes)[:-1])])


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
    return _other_outputs(evidence)


def _other_outputs(evidence: Evidence) -> str:
    ours, theirs = evidence.candidate, evidence.reference
    answers = "score" if "score" in theirs.tensors else "correct"
    for output in (answers, "loglikelihood"):
        shapes = [side.tensors[output].shape if output in side.tensors else None for side in (ours, theirs)]
        if shapes[0] != shapes[1] or (output == answers and shapes[0] != (len(ours.details["samples"]),)):
            return f"output {output!r} has shape {shapes[0]}, the reference {shapes[1]}; record both with the same case"
    return ""
