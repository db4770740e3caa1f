"""Are discrete selections right, near-ties aside? Knows no operator.

A swap between two candidates whose float64 scores lie closer together than the scores are accurate is no fault. How accurate
they must be is told by the reference device: ten times its own worst error, at least two units in the last place.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.closeness import WORST_RATIO, roundoff
from harness.checks.evidence import Evidence
from harness.verdict import Finding, Outcome


def score_noise(reference: np.ndarray, golden: np.ndarray, u: float) -> float:
    """Return the largest error that a sound device may make in any of these scores (absolute)."""
    return max(WORST_RATIO * float(np.max(np.abs(reference - golden))), 2 * u * float(np.max(np.abs(golden))))


def taken_of(chosen: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return which of `scores` [rows, n] the indices `chosen` [rows, k] name: bool [rows, n]."""
    taken = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(taken, chosen.astype(np.int64), True, axis=1)
    return taken


def shortfall(chosen: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return in each row how far the best score left out lies above the worst one taken: positive only where others are larger."""
    taken = taken_of(chosen, scores)
    with np.errstate(invalid="ignore"):  # both are -inf where everything is masked
        gap: np.ndarray = np.where(taken, -np.inf, scores).max(axis=1) - np.where(taken, scores, np.inf).min(axis=1)
    return np.where(np.isnan(gap), 0.0, gap)


@dataclass(frozen=True)
class Choices:
    """In each row, the k entries named by `chosen` (int [rows, k]) are the k largest of `scores` (float [rows, n]) in float64."""

    chosen: str
    scores: str
    name: str = "choices"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding: how many rows choose wrongly by more than a near-tie; the bound is 0."""
        if evidence.golden is None:
            return [Finding(self.name, self.chosen, Outcome.INCOMPARABLE, message="no float64 golden")]
        chosen, golden = evidence.candidate.tensors[self.chosen], evidence.golden.tensors[self.scores]
        rows, k = chosen.shape
        if (
            rows != golden.shape[0]
            or chosen.min() < 0
            or chosen.max() >= golden.shape[1]
            or any(len(set(row)) < k for row in chosen.tolist())
        ):
            return [Finding(self.name, self.chosen, Outcome.FAIL, message="an index is out of range or chosen twice")]
        noise = score_noise(evidence.reference.tensors[self.scores], golden, roundoff(evidence, self.scores).floor)
        gap = shortfall(chosen, golden)
        wrong, near = np.flatnonzero(gap > 2 * noise), np.count_nonzero((gap > 0) & (gap <= 2 * noise))
        message, where = f"{near} of {rows} rows swap a near-tie", ""
        if wrong.size:
            at = int(wrong[np.argmax(gap[wrong])])
            where = f"row {at}: chose {chosen[at].tolist()}"
            message = f"{wrong.size} of {rows} rows choose wrongly; the worst by {gap[at]:.3g}, a near-tie is up to {2 * noise:.3g}"
        return [
            Finding(
                self.name,
                self.chosen,
                Outcome.FAIL if wrong.size else Outcome.PASS,
                float(wrong.size),
                0.0,
                "rows",
                where=where,
                message=message,
            )
        ]
