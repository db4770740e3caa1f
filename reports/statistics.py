"""Figures from raw rounds, each with its interval or the word that there is none (`harness.change`). Knows no file and no figure."""

from collections.abc import Sequence

import numpy as np

from harness.change import Estimate, Taken, between, middle

__all__ = ["Estimate", "percentile", "rate", "ratio"]


def rate(seconds: Sequence[float], work: float) -> Estimate:
    """Return the median of work per second over rounds."""
    found = middle(seconds)
    low, high = (work / end if end else None for end in (found.high, found.low))
    return Estimate(work / found.value, low, high)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the ratio of the median speeds of rounds that were not taken in turn (theirs in seconds over ours): 2 means twice as fast."""
    return between(Taken(ours), Taken(theirs)).ratio


def percentile(seconds: Sequence[float], q: float) -> float:
    """Return the q-th percentile of the rounds in seconds (linear between neighbours)."""
    return float(np.percentile(np.asarray(seconds), q))
