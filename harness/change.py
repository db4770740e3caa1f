"""Are two sets of rounds of the same work equally fast, and if not, by how much? Knows no device, no case and no clock.

A change counts only when three agree: a rank test at 1 %, an effect size (Cliff's delta of at least a third: of a round of each, the slower
is on the one side in two cases of three), and the ratio of the medians (1 % at least). Rounds that were taken in turn are compared within
their blocks, so that what drifts hits both sides; others as two samples. Rounds resemble each other: tests and intervals count as many as
they are worth (`harness.autocorrelation`). Every draw has a fixed seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, stdtr, stdtrit
from scipy.stats import rankdata

from harness.autocorrelation import effective, persistence
from harness.steady import SAME, State, steady

#: The level of the rank test.
LEVEL = 0.01
#: The least Cliff's delta: between small (0.15) and large (0.47), as Romano, Kromrey, Coraggio and Skowronek have it (2006).
DELTA = 0.33
#: With fewer rounds there is no interval and no change.
FEWEST = 6

_RESAMPLES = 1000
_NORMAL = 1.96

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; `low` and `high` are None where there are too few samples for one."""

    value: float
    low: float | None = None
    high: float | None = None

    def excludes(self, value: float) -> bool | None:
        """Say whether the interval leaves `value` out; None when there is no interval."""
        return None if self.low is None or self.high is None else not self.low <= value <= self.high

    @property
    def width(self) -> float:
        """Half of the interval as a share of the value; infinite where there is none."""
        return float("inf") if self.low is None or self.high is None else (self.high - self.low) / (2 * self.value)


class Told(StrEnum):
    """What a comparison says of the candidate."""

    FASTER = "faster"
    SLOWER = "slower"
    ALIKE = "alike"  # the interval of the ratio lies within 1 % of 1
    UNTOLD = "cannot tell"


@dataclass(frozen=True)
class Change:
    """The candidate beside the reference: `ratio` of speeds (above 1: the candidate is faster), and what the tests say.

    `text` says in a line how it was found, and why where nobody can tell. `p` is the two-sided p-value of the rank test, `delta` Cliff's
    delta (above 0: the candidate's rounds are the shorter), `worth` how many independent blocks, or rounds a side, the samples are worth.
    """

    told: Told
    ratio: Estimate
    p: float | None = None
    delta: float | None = None
    worth: float | None = None
    text: str = ""


@dataclass(frozen=True)
class Taken:
    """Positive durations of rounds that count, in their order, and the facts of how they were taken (`harness.rounds.Turns.rounds`)."""

    seconds: Sequence[float]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unsteady(self) -> bool:
        """Whether it is known that they never reached a steady state."""
        return self.facts.get("state") == State.NONE

    def in_turn_with(self, other: "Taken") -> bool:
        """Whether the two were taken in turn, in whole blocks, in the same session."""
        keys = ("in_turn", "order", "seed", "start")
        same = all(self.facts.get(key) == other.facts.get(key) for key in keys)
        return bool(self.facts.get("in_turn") and same and len(self.seconds) == len(other.seconds) and len(self.seconds) % 2 == 0)


def middle(seconds: Sequence[float]) -> Estimate:
    """Return the median of rounds with its bootstrap interval, as wide as is right for as many rounds as they are worth."""
    values = np.log(np.asarray(seconds, dtype=np.float64))
    value = float(np.median(seconds))
    if len(values) < FEWEST:
        return Estimate(value)
    return _interval(value, _medians(values, persistence([values])))


def between(ours: Taken, theirs: Taken) -> Change:
    """Compare the rounds of two recordings of the same work."""
    in_turn = ours.in_turn_with(theirs)
    found = compared(ours.seconds, theirs.seconds, in_turn)
    if found.p is None:
        return replace(found, text=f"fewer than {FEWEST} rounds a side tell nothing")
    how = f"in turn, {len(ours.seconds) // 2} blocks" if in_turn else "not taken in turn, so drift between the two is in it"
    text = f"rank test p = {found.p:.2g}, Cliff's delta {found.delta:+.2f}, {how}, worth {found.worth:.0f} independent"
    level = steady(np.exp(_blocks(ours.seconds, theirs.seconds)).tolist()).state if in_turn else State.FLAT
    if (ours.unsteady or theirs.unsteady) and (not in_turn or level is State.NONE):
        return replace(found, told=Told.UNTOLD, text=f"no steady state; {text}")
    return replace(found, text=text)


def _blocks(ours: Sequence[float], theirs: Sequence[float]) -> Values:
    """Return the logarithm of the ratio of speeds in each block of two rounds a side [blocks]."""
    sides = (np.log(np.asarray(side, dtype=np.float64)).reshape(-1, 2).mean(axis=1) for side in (theirs, ours))
    return np.asarray(next(sides) - next(sides))


def compared(ours: Sequence[float], theirs: Sequence[float], in_turn: bool) -> Change:
    """Compare positive durations [rounds]; `in_turn`: both have the same number, two a block, and blocks follow each other."""
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    value = float(np.median(b) / np.median(a))
    if min(len(a), len(b)) < FEWEST:
        return Change(Told.UNTOLD, Estimate(value))
    if in_turn:
        if len(a) != len(b) or len(a) % 2:
            raise ValueError(f"{len(a)} and {len(b)} rounds are not two of each side in every block")
        blocks = _blocks(a.tolist(), b.tolist())
        phi = persistence([blocks])
        ratio = _interval(float(np.exp(np.median(blocks))), _medians(blocks, phi))
        p, delta, worth = _signed_ranks(blocks, phi)
    else:
        ours_off, theirs_off = (_medians(np.log(side), persistence([side]), stream) for stream, side in enumerate((a, b)))
        ratio = _interval(value, theirs_off - ours_off)
        p, delta, worth = _ranks(a, b)
    return Change(_told(ratio, p, delta), ratio, p, delta, worth)


def _told(ratio: Estimate, p: float, delta: float) -> Told:
    assert ratio.low is not None
    assert ratio.high is not None
    large = abs(np.log(ratio.value)) >= SAME and abs(delta) >= DELTA and delta * np.log(ratio.value) > 0
    if p <= LEVEL and large and ratio.excludes(1.0):
        return Told.FASTER if ratio.value > 1 else Told.SLOWER
    return Told.ALIKE if ratio.low >= 1 - SAME and ratio.high <= 1 + SAME else Told.UNTOLD


def _medians(values: Values, phi: float, stream: int = 0) -> Values:
    """Return how far medians of resamples [resamples] lie from that of the values, stretched to what the values are worth.

    A resample of dependent values scatters too little by the root of their number over what they are worth, and of few values by the ratio
    of Student's quantile to the normal one.
    """
    n, worth = len(values), effective(len(values), phi)
    drawn = np.median(values[np.random.default_rng(stream).integers(0, n, (_RESAMPLES, n))], axis=1) - np.median(values)
    return np.asarray(drawn * (n / worth) ** 0.5 * stdtrit(max(1.0, worth - 1), 0.975) / _NORMAL)


def _interval(value: float, off: Values) -> Estimate:
    """Return a value with the interval that logarithms of resamples, `off` it, give."""
    low, high = np.quantile(off, (0.025, 0.975))
    return Estimate(value, float(value * np.exp(low)), float(value * np.exp(high)))


def _signed_ranks(blocks: Values, phi: float) -> tuple[float, float, float]:
    """Return the p-value of Wilcoxon's signed ranks, the share of blocks above less that below, and how many blocks they are worth.

    Ranks in place of values in a t-test (Conover and Iman, The American Statistician 35, 1981), with the error of a mean of dependent
    values.
    """
    signed = np.sign(blocks) * rankdata(np.abs(blocks))
    worth = effective(len(signed), phi)
    return _t(float(signed.mean()), float(signed.var(ddof=1)) / worth, worth - 1, 2.0 ** (1 - worth)), float(np.sign(blocks).mean()), worth


def _ranks(a: Values, b: Values) -> tuple[float, float, float]:
    """Return the p-value of Brunner and Munzel's test (Biometrical Journal 42, 2000), Cliff's delta, and what the smaller side is worth.

    Each side's placements count as many as they are worth.
    """
    ranks = rankdata(np.concatenate([a, b]))
    placed = [(ranks[: len(a)] - rankdata(a)) / len(b), (ranks[len(a) :] - rankdata(b)) / len(a)]  # shares of the other side below, 0 to 1
    worth = [effective(len(side), persistence([side])) for side in (a, b)]
    errors = [float(place.var(ddof=1)) / n for place, n in zip(placed, worth, strict=True)]
    total = sum(errors)
    freedom = total**2 / sum(error**2 / max(1.0, n - 1) for error, n in zip(errors, worth, strict=True)) if total else 1.0
    above = float(placed[1].mean()) - 0.5
    fewest = float(2 * np.exp(gammaln(worth[0] + 1) + gammaln(worth[1] + 1) - gammaln(sum(worth) + 1)))
    return _t(above, total, freedom, fewest), 2 * above, min(worth)


def _t(mean: float, variance: float, freedom: float, fewest: float) -> float:
    """Return the two-sided p-value of a mean; `fewest` is that of the most extreme arrangement, where nothing varies."""
    if variance <= 0:
        return 1.0 if mean == 0 else min(1.0, fewest)
    return float(2 * stdtr(max(1.0, freedom), -abs(mean) / variance**0.5))
