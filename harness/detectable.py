"""How small a difference can so many paired samples show? Power of the exact McNemar test. Knows no recording and no check.

Sound devices that round differently disagree on a few samples, to either side alike: that is the discordance, `noise`. A loss of `loss`
comes on top: samples that only the reference has right, more by that share. So only the reference is right with probability
noise / 2 + loss, only the candidate with noise / 2.
"""

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

POWER = 0.8


def fewest(alpha: float) -> int:
    """Return the least number of discordant samples that can be significant, all on one side: 2 · 2⁻ᵐ < alpha."""
    return math.floor(1 - math.log2(alpha)) + 1


@lru_cache
def threshold(discordant: int, alpha: float) -> int:
    """Return the least |b - c| that is significant at `alpha` among so many discordant samples, or among the fewest that can be.

    It is where the test decides and not what it finds: a true difference of that size is found about half of the time.
    """
    m = max(discordant, fewest(alpha))
    return m - 2 * int(_most(np.array([m]), alpha)[0])


def power(n: int, noise: float, loss: float, alpha: float) -> float:
    """Return the probability that the exact McNemar test at `alpha` finds a true `loss` (a fraction, either sign) with `n` samples."""
    share = noise + abs(loss)
    if share <= 0:
        return 0.0
    spread = 8 * math.sqrt(n * share * (1 - min(share, 1.0))) + 10
    m = np.arange(max(0, int(n * share - spread)), min(n, int(n * share + spread)) + 1)
    most, only_reference = _most(m, alpha), (noise / 2 + abs(loss)) / share
    found = binom.cdf(most, m, only_reference) + binom.cdf(most, m, 1 - only_reference)
    return float(np.sum(binom.pmf(m, n, min(share, 1.0)) * np.where(most >= 0, found, 0.0)))


@lru_cache
def detectable(n: int, noise: float, alpha: float, wanted: float = POWER) -> float | None:
    """Return the smallest true loss that is found with probability `wanted`, a fraction; None where `n` samples find none."""
    largest = 1 - noise
    if largest <= 0 or power(n, noise, largest, alpha) < wanted:
        return None
    return float(brentq(lambda loss: power(n, noise, loss, alpha) - wanted, 0.0, largest, xtol=1e-5))


def _most(m: np.ndarray, alpha: float) -> np.ndarray:
    """Return the largest count on the rarer side that is still significant among m samples; -1 where none is."""
    most = np.asarray(binom.ppf(alpha / 2, m, 0.5)).astype(np.int64)  # the least k whose tail reaches alpha / 2
    return np.where(2 * binom.cdf(most, m, 0.5) < alpha, most, most - 1)
