"""Where did a figure step, over the weeks, and what changed with it? Knows no store and raises no alarm: `gate.py` does.

Levels are found by binary segmentation, as in MongoDB's change points (Daly et al., ICPE 2020, arXiv 2003.00584) and Hunter (Fleming et
al., ICPE 2023, arXiv 2301.03034), with the largest standardized rank sum of all splits as statistic (Pettitt, Applied Statistics 28,
1979), which an outlying night cannot move. Its p-value comes from permutations of pairs of nights, because a night resembles the one
before; and the shift between the levels has to be beyond chance by itself, with all that nights keep of each other (`shift.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from harness.autocorrelation import persistence
from harness.history.figures import Figures
from harness.history.series import Series, came_with, series_of
from harness.history.shift import FLOOR, Shift, Values, shift

_LEAST = 4  # nights of a level
_BLOCK = 2  # nights that are permuted together
_PERMUTATIONS = 4999
_LEVEL = 0.001
_PLAIN = 3.0  # a largest score below it is more probable than the level among any permutations, which need not be drawn then
_SHIFTED = 0.0005  # of the shift, one-sided
_SMALLEST = 0.01  # of an effect


@dataclass(frozen=True)
class Change:
    """A step of one figure: the first night of the new level, by how much it is worse (negative: better), and what changed with it."""

    name: str
    unit: str
    created: str
    shift: Shift
    p: float
    causes: tuple[str, ...]

    def text(self) -> str:
        """Say it in one line."""
        how = (
            f"{abs(self.shift.effect):.1%} {'worse' if self.shift.effect > 0 else 'better'} [{self.shift.low:+.1%}, {self.shift.high:+.1%}]"
        )
        return f"{self.created[:10]} {self.name}: {how}, p={self.p:.2g}; {'; '.join(self.causes) or 'nothing known changed with it'}"


def changes(nights: Sequence[Figures], smallest: float = _SMALLEST) -> list[Change]:
    """Return all steps of at least `smallest` in what is followed on the machine of the last night, in the order of time."""
    series = series_of(nights)
    phi = persistence([one.values for one in series.values()], FLOOR)
    found = [change for one in series.values() for change in _changes(one, nights, phi, smallest)]
    return sorted(found, key=lambda change: (change.created, change.name))


def _changes(series: Series, nights: Sequence[Figures], phi: float, smallest: float) -> list[Change]:
    stepped, found = steps(series.values), []
    edges = [0, *(at for at, _ in stepped), len(series.values)]
    for (start, at, end), p in zip(zip(edges, edges[1:], edges[2:], strict=False), (p for _, p in stepped), strict=True):
        step = shift(series.values[start:at], series.values[at:end], phi)
        better = shift(-series.values[start:at], -series.values[at:end], phi)
        if abs(step.effect) >= smallest and min(step.p, better.p) <= _SHIFTED:
            created = series.created[at]
            found.append(Change(series.figure.name, series.figure.unit, created, step, p, came_with(nights, created, around=2)))
    return found


def steps(values: Values) -> list[tuple[int, float]]:
    """Return where a series [nights] steps: the index of each new level's first night, with its p-value; always the same for a series."""
    found = _segments(values)
    edges = [0, *(at for at, _ in found), len(values)]
    for i, (_, p) in enumerate(found):  # each found again between its neighbours: while there were more, it was where they met
        start, end = edges[i], edges[i + 2]
        edges[i + 1] = start + int(_largest(rankdata(values[start:end])[None, :])[1][0])
        found[i] = edges[i + 1], p
    return found


def _segments(values: Values) -> list[tuple[int, float]]:
    if len(values) < 2 * _LEAST or np.ptp(values) == 0:
        return []
    ranks = rankdata(values)
    observed, at = _largest(ranks[None, :])
    if observed[0] < _PLAIN:
        return []
    permuted, _ = _largest(_permuted(ranks))
    p = (1 + int(np.count_nonzero(permuted >= observed[0] - 1e-9))) / (1 + len(permuted))
    if p > _LEVEL:
        return []
    split = int(at[0])
    return [*_segments(values[:split]), (split, p), *((split + i, q) for i, q in _segments(values[split:]))]


def _largest(ranks: Values) -> tuple[Values, Values]:
    """Return, for each row of ranks [rows, nights], the largest standardized rank sum of all splits, and the split."""
    n = ranks.shape[1]
    k = np.arange(_LEAST, n - _LEAST + 1)
    sums = np.cumsum(ranks, axis=1)[:, k - 1]
    spread = np.sqrt(k * (n - k) / n * ranks[0].var(ddof=1))
    scores = np.abs(sums - k * (n + 1) / 2) / spread
    best = scores.argmax(axis=1)
    return scores[np.arange(len(ranks)), best], k[best].astype(np.float64)


def _permuted(ranks: Values) -> Values:
    """Return permutations [permutations, nights]: blocks of a circle that is cut at random are shuffled."""
    rng, n = np.random.default_rng(0), len(ranks)
    blocks = -(-n // _BLOCK)
    order = rng.permuted(np.tile(np.arange(blocks), (_PERMUTATIONS, 1)), axis=1)
    places = (order[:, :, None] * _BLOCK + np.arange(_BLOCK)).reshape(_PERMUTATIONS, -1)
    kept = places[places < n].reshape(_PERMUTATIONS, n)  # the last block may be shorter
    permuted: Values = ranks[(kept + rng.integers(n, size=(_PERMUTATIONS, 1))) % n]
    return permuted
