"""Figures from raw rounds, each with its interval or the word that there is none. Knows no file and no figure.

The interval of a median is that of order statistics (Conover, Practical Nonparametric Statistics, 3.2), which assumes no
distribution; a ratio of medians gets a percentile bootstrap over both samples with a fixed seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000
_FEWEST = 6  # with fewer rounds no order statistics enclose the median with 95 %


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; `low` and `high` are None where there are too few samples for one."""

    value: float
    low: float | None = None
    high: float | None = None

    def excludes(self, value: float) -> bool | None:
        """Say whether the interval leaves `value` out; None when there is no interval."""
        return None if self.low is None or self.high is None else not self.low <= value <= self.high


def rate(seconds: Sequence[float], work: float) -> Estimate:
    """Return the median of work per second over rounds."""
    rates = np.sort(work / np.asarray(seconds))
    n, rank = len(rates), _rank(len(rates))
    if n < _FEWEST:
        return Estimate(float(np.median(rates)))
    return Estimate(float(np.median(rates)), float(rates[rank - 1]), float(rates[n - rank]))


def _rank(n: int) -> int:
    """Return the largest k with P(Binomial(n, 1/2) < k) <= 2.5 %."""
    chance, total, k = 0.5**n, 0.0, 0
    while total + chance <= 0.025:
        total += chance
        chance = chance * (n - k) / (k + 1)
        k += 1
    return k


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the ratio of the median speeds (theirs in seconds over ours): 2 means that ours is twice as fast."""
    a, b = np.asarray(ours), np.asarray(theirs)
    value = float(np.median(b) / np.median(a))
    if min(len(a), len(b)) < _FEWEST:
        return Estimate(value)
    draw = np.random.default_rng(0)
    medians = [np.median(x[draw.integers(0, len(x), (_RESAMPLES, len(x)))], axis=1) for x in (a, b)]
    low, high = np.quantile(medians[1] / medians[0], (0.025, 0.975))
    return Estimate(value, float(low), float(high))


def percentile(seconds: Sequence[float], q: float) -> float:
    """Return the q-th percentile of the rounds in seconds (linear between neighbours)."""
    return float(np.percentile(np.asarray(seconds), q))
