"""Has a level shifted between the nights before and the nights after? One figure a night, in logarithms. Knows no case and no store.

Rounds within a night are no replicates of a night: machines have good and bad days, and a day resembles the one before. So the night is
the unit. Its spread is a winsorized standard deviation, which some bad nights among many do not move (Yuen, Biometrika 61, 1974, with a
tenth cut at each end), and the error of a mean of k nights is that of a first-order autoregression,

    v(k) = (k + 2 sum_{j<k} (k - j) phi^j) / k²,

of which the p-value leaves out the worst later night where there are several, because one bad night proves nothing,
with phi from the ranks of all series of the machine together (`harness.autocorrelation`), because one series is far too short for it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit
from scipy.stats import mannwhitneyu

from harness.autocorrelation import mean_variance

_CUT = 0.1
FLOOR = 0.001  # a night repeats itself to a tenth of a percent at best, whatever few nights show

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """By how much the later nights lie above the earlier, as a fraction, with its 95 % interval, and the one-sided p-value of "not at all".

    `spread` is the standard deviation from night to night, as a fraction: the effect in units of it is the effect size.
    """

    effect: float
    low: float
    high: float
    p: float
    spread: float


def centre(nights: Values) -> float:
    """Return the mean of what is left when a tenth of the nights is cut off at each end."""
    cut = int(_CUT * len(nights))
    return float(np.sort(nights)[cut : len(nights) - cut].mean())


def shift(before: Values, after: Values, phi: float) -> Shift:
    """Return the shift between logarithms of nightly figures [nights], at least 4 before and 1 after.

    `phi` is what a night keeps of the last.
    """
    ordered, n = np.sort(before), len(before)
    cut = int(_CUT * n)
    winsorized = np.clip(ordered, ordered[cut], ordered[n - 1 - cut])
    variance = float(winsorized.var(ddof=1)) / (1 - 2 * _CUT) ** 2 if cut else float(winsorized.var(ddof=1))
    within = mean_variance(n, phi)
    spread = max(FLOOR, (variance / max(0.2, 1 - within)) ** 0.5)
    freedom = max(2, n - 2 * cut - 1)
    difference = _middle(after) - centre(before)
    half = float(stdtrit(freedom, 0.975)) * spread * (within + mean_variance(len(after), phi)) ** 0.5
    low, high = np.expm1(difference - half), np.expm1(difference + half)
    kept = np.sort(after)[: max(1, len(after) - 1)]
    error = spread * (within + mean_variance(len(kept), phi)) ** 0.5
    p = stdtr(freedom, (centre(before) - float(kept.mean())) / error)
    return Shift(float(np.expm1(difference)), float(low), float(high), float(p), float(spread))


def _middle(after: Values) -> float:
    """Return the level of the later nights [nights], which one bad night among three does not set."""
    return float(np.median(after))


def higher_by_rank(before: Values, after: Values) -> float:
    """Return the exact one-sided p-value of the rank test that the later nights are no higher (Mann and Whitney, 1947)."""
    return float(mannwhitneyu(after, before, alternative="greater", method="exact").pvalue)
