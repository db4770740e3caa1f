"""From which round on do times stand for the steady state, if ever? Knows no device, no case and no clock.

As Barrett, Bolz-Tereick, Killick, Mount and Tratt do it (Virtual Machine Warmup Blows Hot and Cold, OOPSLA 2017): a fixed number of warm-up
rounds is a guess, so the rounds are cut into segments of one level each, and what counts is the last segment. Here levels are those of the
logarithm of the times, by least squares with a penalty for each further segment, which dynamic programming minimizes exactly (Jackson et
al., IEEE Signal Processing Letters 12, 2005). Rounds resemble each other, which alone would look like steps: the noise is measured from
differences at lags one and two, which steps hardly touch (Chakar, Lebarbier, Lévy-Leduc and Robin, Bernoulli 23, 2017), and counts as
long-run noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

#: Levels that lie closer together are one: it is also the least that is called a change (`harness/change.py`).
SAME = 0.01
#: The least rounds that the last segment has to have.
FEWEST = 10

_SHARE = 4  # it has to be one in so many of all rounds
_PENALTY = 4.0  # times log n, for each further segment
_WINDOW = 3  # rounds to either side by which a lone slow round is told
_FLOOR = 1e-3  # no clock and no device repeats a round more closely
_MOST = 0.8
_NORMAL = 1.4826  # of a median of absolute deviations, to a standard deviation

Values = NDArray[np.float64]


class State(StrEnum):
    """How the rounds went on their way to the steady state."""

    FLAT = "flat"
    WARM_UP = "warm-up"  # slower rounds, then steady
    SLOWDOWN = "slowdown"  # faster rounds, then steady
    NONE = "no steady state"  # it never stayed at a level: nobody can tell how fast it is


@dataclass(frozen=True)
class Steady:
    """How the rounds went, and the index of the first that counts; without a steady state that is 0, and none counts."""

    state: State
    start: int = 0


def steady(seconds: Sequence[float]) -> Steady:
    """Return the state of positive durations, in the order in which they were taken. Fewer than 10 have no steady state."""
    if len(seconds) < FEWEST:
        return Steady(State.NONE)
    values = np.log(np.asarray(seconds, dtype=np.float64))
    noise, phi = _noise(values)
    starts = _segments(_clipped(values, noise), noise * ((1 + phi) / (1 - phi)) ** 0.5)
    levels = [float(np.median(part)) for part in np.split(values, starts[1:])]
    unlike = [i for i, level in enumerate(levels) if abs(level - levels[-1]) > SAME]
    start = starts[unlike[-1] + 1] if unlike else 0
    if len(values) - start < max(FEWEST, len(values) // _SHARE):
        return Steady(State.NONE)
    if not unlike:
        return Steady(State.FLAT)
    faster = any(levels[i] < levels[-1] for i in unlike)
    return Steady(State.SLOWDOWN if faster else State.WARM_UP, start)


def _noise(values: Values) -> tuple[float, float]:
    """Return the standard deviation around a level, and what a value keeps of the one before, 0 to 0.8."""
    moved = (values[lag:] - values[:-lag] for lag in (1, 2))
    one, two = (float(np.median(np.abs(by - np.median(by)))) for by in moved)  # around their median: a trend is no noise
    phi = float(np.clip((two / one) ** 2 - 1, 0.0, _MOST)) if one > 0 else 0.0
    return max(_FLOOR, _NORMAL * one / (2 * (1 - phi)) ** 0.5), phi


def _clipped(values: Values, noise: float) -> Values:
    """Return the values, each lone one that is far from its neighbours brought near (Hampel); not the first: those are the warm-up."""
    kept = values.copy()
    for i in range(_WINDOW, len(values)):
        middle = float(np.median(values[max(0, i - _WINDOW) : i + _WINDOW + 1]))
        kept[i] = np.clip(values[i], middle - 3 * noise, middle + 3 * noise)
    return kept


def _segments(values: Values, noise: float) -> list[int]:
    """Return where segments begin, the first at 0: least squares in units of `noise`, and a penalty for each further segment."""
    n = len(values)
    sums, squares = (np.concatenate([[0.0], np.cumsum(part)]) for part in (values - values.mean(), (values - values.mean()) ** 2))
    penalty = _PENALTY * np.log(n)
    best, begins = np.zeros(n + 1), np.zeros(n + 1, dtype=np.int64)
    best[0] = -penalty
    for end in range(1, n + 1):
        at = np.arange(end)
        residual = squares[end] - squares[at] - (sums[end] - sums[at]) ** 2 / (end - at)
        costs = best[at] + residual / noise**2 + penalty
        begins[end] = int(np.argmin(costs))
        best[end] = costs[begins[end]]
    found, end = [], n
    while end:
        end = int(begins[end])
        found.append(end)
    return found[::-1]
