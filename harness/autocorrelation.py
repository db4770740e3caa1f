"""How much of a value is left in the next one, and what a mean is worth then. Knows no clock, no case and no night.

Samples that follow each other resemble each other: rounds on a machine that throttles, nights on a machine with a neighbour. Taken as
independent they prove far too much. Both functions suppose a first-order autoregression, the least that short series bear.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

_FEWEST = 8
_MOST = 0.8

Values = NDArray[np.float64]


def persistence(series: Sequence[Values], floor: float = 0.0) -> float:
    """Return phi, what a value keeps of the one before, 0 to 0.8: the median over series of the rank correlation at lag one.

    Corrected by (1 + 4 phi) / n for the bias of short series (Kendall, Biometrika 41, 1954). Series of less than 8 values, or whose values
    span less than `floor`, say nothing.
    """
    found = []
    for values in series:
        n = len(values)
        if n < _FEWEST or np.ptp(values) <= floor:
            continue
        ranks = rankdata(values) - (n + 1) / 2
        raw = float(ranks[1:] @ ranks[:-1]) / float(ranks @ ranks)
        found.append((raw * n + 1) / (n - 4) if n > _FEWEST else raw)
    return float(np.clip(np.median(found), 0.0, _MOST)) if found else 0.0


@lru_cache(1024)
def mean_variance(k: int, phi: float) -> float:
    """Return the variance of the mean of `k` values in a row, in units of a value's: (k + 2 sum_{j<k} (k - j) phi^j) / k²."""
    lags = np.arange(1, k)
    return float(k + 2 * np.sum((k - lags) * phi**lags)) / k**2


def effective(k: int, phi: float) -> float:
    """Return how many independent values are worth as much as `k` in a row."""
    return 1 / mean_variance(k, phi)
