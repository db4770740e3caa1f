"""What is decided by doing it again: the re-check with other seeds (4.5.2, 5.3.4), repeats (3), random numbers (5.3.5). Knows no metric."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import ks_2samp

from harness.inputs import draw_integers
from harness.standards.cann.thresholds import LEVELS

FEWEST_SEEDS, SEEDS = 200, 1000  # below the first a re-check fails outright; the second is recommended
RESAMPLES = 1000  # 4.5.2 says 1000, of which the 25th and 976th bound the interval; the picture in 5.3.4 says 2000
ALPHA, Z = 0.01, -3.0902  # significance, and the 99.9 % point of the normal distribution

_AT_ONCE = 1 << 20  # draws held in memory


class Recheck(NamedTuple):
    """How a re-check ended: the median ratio over the seeds, its 95 % interval, and why."""

    passed: bool
    median: float
    low: float
    high: float
    why: str


def recheck(ratios: Sequence[float] | np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Recheck:
    """Decide a case that failed, from the ratio (device's error to the third party's) of each of N seeds.

    Fails when N < 200, or when the whole 95 % interval of the bootstrapped median lies above 1. `resamples` is at least 40.
    """
    sample = np.asarray(ratios, dtype=np.float64)
    if len(sample) < FEWEST_SEEDS:
        return Recheck(False, math.nan, math.nan, math.nan, f"{len(sample)} seeds, at least {FEWEST_SEEDS} are needed")
    medians = np.sort(bootstrap_medians(sample, resamples, seed))
    tail = max(1, round(resamples * 0.025))
    low, high = float(medians[tail - 1]), float(medians[resamples - tail])
    passed = not low > 1.0
    side = "above 1" if not passed else "not above 1"
    why = f"the median ratio of {len(sample)} seeds lies in [{low:.3g}, {high:.3g}], {side}"
    return Recheck(passed, float(np.median(sample)), low, high, why)


def bootstrap_medians(sample: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return the medians of so many resamples of a float64 sample, in the order drawn; the draws are portable."""
    n = len(sample)
    each = max(1, _AT_ONCE // n)
    found = []
    for begin in range(0, resamples, each):
        rows = min(each, resamples - begin)
        chosen = draw_integers(seed, f"bootstrap {begin}", rows * n, 0, n).reshape(rows, n)
        found.append(np.median(sample[chosen], axis=1))
    return np.concatenate(found)


def repeats(level: str) -> int:
    """Return how often a case is run at a level."""
    return LEVELS[level].repeats


def differing(runs: Sequence[np.ndarray]) -> int:
    """Count the runs whose bits are not those of the first; a deterministic operator has none."""
    first = np.ascontiguousarray(runs[0])
    return sum(1 for run in runs[1:] if run.shape != first.shape or np.ascontiguousarray(run).tobytes() != first.tobytes())


def same_distribution(candidate: np.ndarray, reference: np.ndarray) -> bool:
    """Say whether two tensors of random numbers, whole, pass one Kolmogorov-Smirnov test (p > 0.01)."""
    ours, theirs = candidate.reshape(-1), reference.reshape(-1)
    if np.array_equal(ours, theirs):
        return True
    return bool(ks_2samp(ours, theirs, method="asymp").pvalue > ALPHA)  # the exact one overflows for some pairs of sizes


def pass_rate(tests: int) -> float:
    """Return the share of `tests` that must pass for random numbers to be accepted."""
    return (1 - ALPHA) + Z * math.sqrt(ALPHA * (1 - ALPHA) / tests)
