"""How far apart sound runs of one training lie: the band around a float64 series, measured on the reference. Knows no model and no finding.

The reference device trains once as it is and k times with its initial weights and inputs moved by up to one roundoff. At step t the n
series are off from float64 by e_1(t) ... e_n(t), relative to |golden(t)| + rms(golden), because a margin or a reward passes through zero; a
norm does not, and may fall a hundredfold as training goes on, so that its errors are relative to |golden(t)|. A sound device may be off by

    2 q(n) max over i and s <= t of e_i(s),      never less than q(n) times 2 u of the series' own dtype

2 is the rms ratio of level L0 of the CANN operator precision standard, and q(n) what chance asks for: the largest of n normal errors of one
size is with 99.9 % more than the q-th part of another one. The errors of successive steps grow out of each other, so the reference's series
counts as one element at its first step and as three from its third on; a rerun may round as the reference does, and adds one. Of many
series side by side (the gradient norms of all parameters) some will have been lucky in all runs: none is taken to be better than their
median.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import erf

RATIO = 2.0
INDEPENDENT = 3  # elements that a series of any length counts as
_CHANCE = 1e-3
_BLUNT = 0.5  # share of the signal


@lru_cache(maxsize=4096)
def quantile(n: int, chance: float = _CHANCE) -> float:
    """Return q with P(|z| > q max(|z_1|, ..., |z_n|)) = `chance`, for independent standard normal z."""
    z = np.linspace(0.0, 12.0, 4801)
    density = math.sqrt(2 / math.pi) * np.exp(-z * z / 2)

    def beyond(q: float) -> float:
        return float(np.trapezoid(density * erf(z / (q * math.sqrt(2))) ** n, z))

    low, high = 0.0, 40.0  # of the logarithm
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(math.exp(middle)) > chance else (low, middle)
    return math.exp(high)


@dataclass(frozen=True)
class Band:
    """A band around `golden` [steps] or [steps, columns]; `scale` is what errors are relative to, all of one shape.

    `measured` is what the reference and its reruns are off at most up to each step, and `allowed` what a candidate may be off, both
    relative. A column that is zero throughout in float64 has the scale 1.
    """

    golden: np.ndarray
    scale: np.ndarray
    measured: np.ndarray
    allowed: np.ndarray

    def off(self, series: np.ndarray) -> np.ndarray:
        """Return how far a series of the same shape is off, relative to `scale`; infinite where it is not finite."""
        return _off(series, self.golden, self.scale)

    def first_outside(self, series: np.ndarray) -> tuple[int, np.ndarray] | None:
        """Return the first step at which a series has left the band, and which columns have then (none for a plain series)."""
        outside = ~(self.off(series) <= self.allowed)
        steps = np.flatnonzero(outside.reshape(len(outside), -1).any(axis=1))
        return (int(steps[0]), np.flatnonzero(outside[steps[0]])) if steps.size else None

    def worst(self, series: np.ndarray) -> tuple[int, ...]:
        """Return the index at which a series uses most of the band."""
        off = self.off(series)
        share = np.divide(off, self.allowed, out=np.where(off > 0, np.inf, 0.0), where=self.allowed > 0)
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(share)), share.shape))

    def blunt_from(self) -> int:
        """Return the first step from which on the band is half of the signal or more everywhere; the number of steps if it never is."""
        blunt = [bool(row.min(initial=np.inf) >= _BLUNT) for row in self.allowed]
        return blunt.index(True) if True in blunt else len(blunt)


def band(golden: np.ndarray, runs: Sequence[np.ndarray], u: float, norm: bool = False) -> Band:
    """Return the band that the reference's run and its reruns, at least one, measure around `golden`, all of one shape.

    `u` is the unit roundoff of the dtype in which a device returns the series, `norm` says that it is one. Each column is a series.
    """
    golden = golden.astype(np.float64)
    size = np.sqrt(np.mean(golden**2, axis=0, keepdims=True))
    scale = np.where(golden != 0, np.abs(golden), size) if norm else np.abs(golden) + size
    zero = np.broadcast_to(size == 0, golden.shape)
    scale = np.where(zero, 1.0, scale)
    off = np.max([_off(run, golden, scale) for run in runs], axis=0)
    measured = np.maximum.accumulate(off, axis=0)
    if golden.ndim > 1 and not zero.all():
        measured = np.maximum(measured, np.where(zero, 0.0, np.median(measured[:, ~zero[0]], axis=1, keepdims=True)))
    widening = [quantile(min(step + 1, INDEPENDENT) + len(runs) - 1) for step in range(len(golden))]
    floor = np.where(zero, 0.0, u)
    allowed = RATIO * np.reshape(widening, (-1, *[1] * (golden.ndim - 1))) * np.maximum(measured, floor)
    return Band(golden, scale, measured, allowed)


def _off(series: np.ndarray, golden: np.ndarray, scale: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(series.astype(np.float64) - golden) / scale
    return np.where(np.isfinite(off), off, np.inf)
