"""Have successive random values nothing to do with each other? Knows no law and no operator."""

import math

import numpy as np
from scipy import stats

from harness.checks.chance import LEVEL, Statistic

_LAGS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256)
_BITS = 22  # of randomness in a float32 draw, at least: some devices draw 23, none 16
_MULTIPLIER = np.uint64(0xD1342543DE82EF95)  # of a linear congruential generator modulo 2^64 (Steele and Vigna, 2021)


def correlation(scores: np.ndarray, length: int) -> Statistic:
    """Return the largest correlation: with later values of the first draw, with the position, of the second draw with the first.

    `scores` are bounded numbers, one a value: those of the first draw, `length` of them, and then those of the second.
    """
    centred = scores - scores.mean()
    first, second = centred[:length], centred[length:]
    position = np.arange(len(scores)) % length - (length - 1) / 2
    pairs = [(f"the value {lag} later", first[:-lag], first[lag:]) for lag in _LAGS if lag < length // 4]
    pairs += [("the position", centred, position), ("the same place of the next draw", first[: len(second)], second)]
    worst, name = max((abs(_correlation(a, b)) * math.sqrt(len(a)), name) for name, a, b in pairs)
    message = f"the correlation with {name} is {worst:.1f} standard deviations from none"
    return Statistic("independence", worst, float(stats.norm.isf(LEVEL / 2)), message)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else 0.0


def repetition(values: np.ndarray, length: int) -> Statistic:
    """Count sequences of w values that come again anywhere in the first draw, of `length` values, and the second.

    w is such that chance would hardly bring one: whatever came before, a value equals a given one with no more than the probability p of
    the most frequent, so one of n^2 / 2 pairs of sequences agrees with probability n^2 / 2 * p^w <= LEVEL.
    """
    codes = np.unique(values, return_inverse=True)[1].ravel()
    n, most = len(codes), float(np.bincount(codes).max()) / len(codes)
    window = math.ceil(math.log(2 * LEVEL / n**2) / math.log(most)) if most < 1 else n
    if window > length // 2:
        return Statistic("repetition", 0.0, 0.0, "too few different values to tell")
    hashes = _hashes(codes, window)
    where, counts = np.unique(hashes, return_index=True, return_counts=True)[1:]
    again = int((counts - 1).sum())
    if not again:
        return Statistic("repetition", 0.0, 0.0)
    start = int(where[counts > 1].min())
    apart = int(np.flatnonzero(hashes == hashes[start])[1]) - start
    message = f"{again} sequences of {window} values come again; the first, at {start}, after {apart} values"
    return Statistic("repetition", float(again), 0.0, f"{message}: the second draw repeats the first" if apart == length else message)


def _hashes(codes: np.ndarray, window: int) -> np.ndarray:
    """Return a 64-bit hash of every sequence of `window` codes: a polynomial modulo 2^64, by Horner's rule."""
    mixed = (codes.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    count = len(codes) - window + 1
    total = np.zeros(count, np.uint64)
    for i in range(window):
        total = total * _MULTIPLIER + mixed[i : i + count]
    return total


def grain(values: np.ndarray) -> Statistic:
    """Count values that came before: of n draws of N equally likely ones about n^2 / 2 N."""
    again = len(values) - len(np.unique(values))
    bound = float(stats.poisson.isf(LEVEL, len(values) ** 2 / 2 / 2**_BITS))
    return Statistic(
        "grain", float(again), bound, f"{again} of {len(values)} values came before; {_BITS} random bits give {bound:.0f} at most"
    )
