"""The same samples on two sides: is there a difference, how large, and is it small enough? Knows no check, no task and no bound.

A sample is right (1) or wrong (0) on each side. Of `n` samples `b` are right only on the reference, `c` only on the candidate: the others
say nothing of a difference. Differences are candidate minus reference, as fractions. Every random draw has a fixed seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm, permutation_test
from scipy.stats import bootstrap as resampled

_RESAMPLES = 4000
_ENTRIES = 2_000_000  # drawn at a time: 16 MB


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that holds the true value with the confidence it was asked for."""

    mean: float
    low: float
    high: float

    def text(self, unit: str) -> str:
        """Say it in words."""
        return f"{self.mean:+.4g} {unit} [{self.low:+.4g}, {self.high:+.4g}]"

    def within(self, margin: float) -> bool:
        """Tell whether all of it lies between -margin and +margin: of a 95 % interval two one-sided tests at 2.5 % (Schuirmann, 1987)."""
        return -margin <= self.low and self.high <= margin

    def beyond(self, margin: float) -> bool:
        """Tell whether all of it lies below -margin or above +margin."""
        return self.high < -margin or self.low > margin


def mcnemar(b: int, c: int) -> float:
    """Return the exact two-sided p-value of `b` against `c` discordant samples; 1 when there is none (McNemar, Psychometrika 12, 1947)."""
    return float(binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0


def tango(n: int, b: int, c: int, confidence: float) -> Interval:
    """Return (c - b) / n with Tango's score interval for paired proportions, whose coverage holds with few or no discordant samples.

    Tango, Statistics in Medicine 17 (1998) 891-908, equations 12 to 15. Without any discordant sample it is z² / (n + z²) to either side.
    Raises ValueError: more discordant samples than samples.
    """
    if b + c > n or min(b, c) < 0:
        raise ValueError(f"{b} and {c} discordant samples of {n}")
    z, observed = float(norm.ppf((1 + confidence) / 2)), (c - b) / n
    if not b + c:
        return Interval(0.0, -z * z / (n + z * z), z * z / (n + z * z))

    def excess(difference: float, side: int) -> float:
        """Return by how much the observed difference exceeds the one supposed, less `z` standard errors under that one; times n."""
        linear = (2 * n - c + b) * difference - b - c
        constant = -b * difference * (1 - difference)
        only_reference = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
        variance = max(0.0, n * (2 * only_reference + difference * (1 - difference)))
        return c - b - n * difference + side * z * math.sqrt(variance)

    low = float(brentq(excess, -1.0, observed, args=(-1,), xtol=1e-12)) if observed > -1 else -1.0
    high = float(brentq(excess, observed, 1.0, args=(1,), xtol=1e-12)) if observed < 1 else 1.0
    return Interval(observed, low, high)


def bootstrap(differences: np.ndarray, confidence: float = 0.95) -> Interval:
    """Return the mean of differences [items] with its BCa interval (Efron, J. Am. Stat. Assoc. 82, 1987), the same each time.

    Too narrow below some 20 items, and where only a few items differ: `tango` is for those.
    """
    values = np.asarray(differences, dtype=np.float64)
    mean = float(values.mean())
    if np.ptp(values) <= 1e-9 * np.abs(values).max():  # alike but for roundoff: a jackknife would divide that by itself
        return Interval(mean, mean, mean)
    batch = max(1, _ENTRIES // values.size)
    rng = np.random.default_rng(0)
    found = resampled((values,), np.mean, n_resamples=_RESAMPLES, batch=batch, confidence_level=confidence, method="BCa", rng=rng)
    return Interval(mean, float(found.confidence_interval.low), float(found.confidence_interval.high))


def sign_flips(differences: np.ndarray) -> float:
    """Return the two-sided p-value of a mean of differences [items] if either sign of each had been as likely (paired permutation test)."""
    values = np.asarray(differences, dtype=np.float64)
    if not np.any(values):
        return 1.0
    batch, rng = max(1, _ENTRIES // values.size), np.random.default_rng(0)
    found = permutation_test((values,), np.mean, permutation_type="samples", n_resamples=_RESAMPLES, batch=batch, rng=rng)
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number, in the order given: at most `alpha` false alarms in all (Holm, 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
