"""Whose turn is it, and is it enough? Rounds of several sides in turn, until their medians are known. Knows no device, case, clock or
stopwatch.

Sides that are in one machine at the same time are timed in turn, so that what drifts, and whoever else works there, hits each alike. A
block has each side once in an order that is drawn, and then once in the opposite order (two sides: ABBA or BAAB), which takes out whatever
grows by the round. Rounds go on until each side is steady (`harness.steady`) and the interval of its median is as narrow as was asked for,
or the budget ends. That looks at widths only and never at a difference, so it favours neither side (Chow and Robbins, Annals of
Mathematical Statistics 36, 1965).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from harness.change import FEWEST, middle
from harness.steady import State, steady


@dataclass(frozen=True)
class Rounds:
    """What a stopwatch returns: the seconds of the rounds that count, of those before them, and JSON-able facts about how they were taken.

    `memory` maps figures to bytes where the stopwatch knows better than to read them when all rounds are over.
    """

    seconds: tuple[float, ...]
    before: tuple[float, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, int] | None = None

    def told(self) -> dict[str, Any]:
        """Return the facts, and `before` where there are such rounds; nothing of rounds of a fixed number."""
        return {**self.facts, **({"before": list(self.before)} if self.before else {})}


@dataclass(frozen=True)
class Budget:
    """When rounds end: each median's 95 % interval is within `width` (a share of it) to either side, `most` rounds a side, or time is up.

    Time is up after `seconds`, but not before `least` rounds a side, and in any case after `patience` times as long.
    """

    seconds: float = 5.0
    width: float = 0.01
    least: int = 30
    most: int = 120
    patience: float = 3.0


class Ended(StrEnum):
    """Why there are no more rounds."""

    NARROW = "the interval is narrow enough"
    MOST = "so many rounds were allowed"
    BUDGET = "the time was up"


class Turns:
    """The order of rounds, drawn by `seed`; `now` reads a clock in seconds. Ask `turn` before each round, and tell `took` after it.

    Each side takes `fewest` rounds at least, whatever the budget: their outputs are wanted.
    """

    def __init__(self, sides: Sequence[str], seed: int, budget: Budget, now: Callable[[], float], fewest: int = 2) -> None:
        self._fewest = fewest
        self.sides, self._budget, self._now = list(sides), budget, now
        self._rng, self._seed, self._begun = np.random.default_rng(seed), seed, now()
        self.seconds: dict[str, list[float]] = {side: [] for side in sides}
        self._blocks: list[tuple[str, ...]] = []
        self._waiting: list[str] = []
        self._left = False
        self.ended: Ended | None = None

    @property
    def most(self) -> int:
        """The most rounds of all sides together."""
        return self._budget.most * len(self.sides)

    def turn(self) -> str | None:
        """Return whose turn it is; None when it is enough."""
        if not self._waiting and (self.sides and not self._enough()):
            order = [self.sides[i] for i in self._rng.permutation(len(self.sides))]
            self._blocks.append((*order, *reversed(order)))
            self._waiting = list(self._blocks[-1])
        return self._waiting[0] if self._waiting else None

    def took(self, seconds: float) -> None:
        """Note the duration of the round that was due."""
        self.seconds[self._waiting.pop(0)].append(seconds)

    def leave(self) -> None:
        """Let the side whose round failed take no further turn; the others go on, and are not in turn with it any more."""
        side = self._waiting[0]
        self.sides.remove(side)
        self._waiting = [other for other in self._waiting if other != side]
        self._left = True

    def _enough(self) -> bool:
        rounds = min(len(self.seconds[side]) for side in self.sides)
        spent, budget = self._now() - self._begun, self._budget
        if rounds < self._fewest:
            return False
        if rounds >= budget.most:
            self.ended = Ended.MOST
        elif (spent >= budget.seconds and rounds >= budget.least) or spent >= budget.seconds * budget.patience:
            self.ended = Ended.BUDGET
        elif rounds >= budget.least and rounds % 10 == 0 and self._narrow():
            self.ended = Ended.NARROW
        return self.ended is not None

    def _narrow(self) -> bool:
        return all(
            found.state is not State.NONE and middle(self.seconds[side][found.start :]).width <= self._budget.width
            for side in self.sides for found in [steady(self.seconds[side])]
        )  # fmt: skip

    def rounds(self, side: str) -> Rounds:
        """Return the rounds of a side: those count from which on every side is steady, whole blocks; all where one never is."""
        found = {other: steady(self.seconds[other]) for other in self.sides}
        start = max((one.start for one in found.values()), default=0)
        start += start % 2
        mine, taken = found.get(side) or steady(self.seconds[side]), self.seconds[side]
        in_turn = len(self.sides) > 1 and not self._left
        if len(taken) - start < FEWEST or any(one.state is State.NONE for one in found.values()):
            start = mine.start if not in_turn else 0
        counted = taken[start:]
        facts: dict[str, Any] = {
            "state": str(mine.state), "start": start, "in_turn": in_turn, "seed": self._seed,
            "order": [" ".join(block) for block in self._blocks], "ended": str(self.ended or ""),
            "median": float(np.median(counted)) if counted else None, "asked_width": self._budget.width,
            "width": middle(counted).width if len(counted) >= FEWEST else None,
        }  # fmt: skip
        return Rounds(tuple(counted), tuple(taken[:start]), facts)
