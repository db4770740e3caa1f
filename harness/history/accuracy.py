"""Are the same questions answered worse than on the last good nights? Paired sample by sample. Knows no task.

The last w nights are held against the w good ones before them. A sample has moved when its number of right answers differs; had nothing
changed, each that moved would have done so to either side with probability 1/2. For one night against one this is the exact McNemar test.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from harness.history.figures import Answers, Figures
from harness.history.rules import Rules, Ruling, State
from harness.history.series import came_with
from harness.paired import Interval, bootstrap, holm, mcnemar, tango

_WINDOWS = (1, 2, 4)
_SHOWN = 0.01


class GoodNights(Protocol):
    """Says of a name which nights are good, and which count at all."""

    def __call__(self, name: str, created: str, /) -> bool:
        """Tell whether a night is good for a name."""

    def counts(self, name: str, created: str, /) -> bool:
        """Tell whether a night has anything to say, good or bad."""


@dataclass(frozen=True)
class _Compared:
    """The last nights of a task against as many good ones.

    Which window, its p-value, and the loss of each sample [samples], as a fraction.
    """

    window: int
    p: float
    losses: np.ndarray


def accuracy(nights: Sequence[Figures], rules: Rules, good: GoodNights) -> list[Ruling]:
    """Return the rulings on every task of the last night."""
    tonight = nights[-1]
    compared = {case: _compare(case, answers, nights, good) for case, answers in sorted(tonight.answers.items())}
    corrected = holm([found.p if found else 1.0 for found in compared.values()])
    return [_ruling(case, found, p, nights, rules) for (case, found), p in zip(compared.items(), corrected, strict=True)]


def name_of(case: str) -> str:
    """Return by which name a task's accuracy is followed."""
    return f"{case} accuracy"


def _compare(case: str, answers: Answers, nights: Sequence[Figures], good: GoodNights) -> _Compared | None:
    """Return the window that shows the largest loss, with the smallest p-value of all, corrected; None without a good night before."""
    name = name_of(case)
    known = [
        (night.created, _right(night.answers[case])) for night in nights
        if case in night.answers and night.answers[case].samples == answers.samples and good.counts(name, night.created)
    ]  # fmt: skip
    found = []
    for window in _WINDOWS:
        before = [right for created, right in known[:-window] if good(name, created)][-window:]
        if len(before) == window:
            losses = (np.sum(before, axis=0) - np.sum([right for _, right in known[-window:]], axis=0)) / window
            found.append(_Compared(window, _p(losses), losses))
    if not found:
        return None
    best = min(found, key=lambda one: one.p)
    # a window that reaches back before the loss may prove it, and would tell of half of it
    shown = max((one for one in found if one.p <= _SHOWN), key=lambda one: float(one.losses.mean()), default=best)
    return replace(shown, p=min(1.0, best.p * len(found)))


def _p(losses: np.ndarray) -> float:
    """Return the p-value of a loss; 1 where no more were lost than won."""
    lost, won = int(np.sum(losses > 0)), int(np.sum(losses < 0))
    return mcnemar(lost, won) if lost > won else 1.0


def _right(answers: Answers) -> np.ndarray:
    """Return which samples a night has right [samples].

    In the first repeat where there is one, because that was not picked for being bad.
    """
    return np.array(answers.runs[min(1, len(answers.runs) - 1)], dtype=np.float64)


def _interval(found: _Compared) -> Interval:
    lost, won = int(np.sum(found.losses > 0)), int(np.sum(found.losses < 0))
    return tango(found.losses.size, won, lost, 0.95) if found.window == 1 else bootstrap(found.losses)


def _ruling(case: str, found: _Compared | None, p: float, nights: Sequence[Figures], rules: Rules) -> Ruling:
    answers = nights[-1].answers[case]
    blank = Ruling(name_of(case), case, State.UNKNOWN, "no good night before it has the same samples", repeats=len(answers.runs) - 1)
    if found is None:
        return blank
    lost, won, effect = int(np.sum(found.losses > 0)), int(np.sum(found.losses < 0)), float(found.losses.mean())
    state = State.STEADY
    if effect >= rules.points and _p(found.losses) <= rules.suspicion:
        state = State.CONFIRMED if p <= rules.accuracy and blank.repeats else State.SUSPECTED
    elif blank.repeats:
        state = State.CLEARED
    if state is State.STEADY:
        return replace(blank, state=state, text="", effect=effect, p=p)
    loss = _interval(found)
    interval = f"[{-100 * loss.high:+.1f}, {-100 * loss.low:+.1f}]"
    text = f"{-100 * effect:+.1f} points {interval}, {lost} of {found.losses.size} samples lost, {won} won"
    since = nights[-found.window].created
    causes = came_with(nights, since, around=2) if state is State.CONFIRMED else ()
    return replace(
        blank, state=state, text=text, effect=effect, low=loss.low, high=loss.high, p=p, since=since, nights=found.window, causes=causes
    )
