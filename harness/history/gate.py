"""The newest night against the last good ones: what is worse beyond chance? Knows no store, runs nothing, and knows no suite.

Twice a night: before its repeats are run (`State.SUSPECTED` says what to repeat), and after, when they are part of the figures. A change
of a time or of memory counts when all of these agree: the shift of the last 1 to 8 nights (`shift.py`), corrected for the windows and, by
Holm, for all metrics; its size; an exact rank test of nights against nights; and the repeats of this night. Accuracy is judged in
`accuracy.py`, with a correction of its own, outcomes in `outcomes.py`: a failing verdict is a regression of another kind, and a case that
fails has no times.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from harness.autocorrelation import persistence
from harness.history.accuracy import accuracy
from harness.history.figures import Figures
from harness.history.outcomes import outcomes
from harness.history.rules import Rules, Ruling, Size, State, size_of
from harness.history.series import Series, came_with, series_of
from harness.history.shift import FLOOR, Shift, Values, centre, higher_by_rank, shift
from harness.paired import holm


@dataclass(frozen=True)
class Night:
    """A past night: what is followed of it, and what the gate said then (`Entry.gate`)."""

    figures: Figures
    gate: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sided:
    """A series cut into good nights before, and the latest nights, for each window that leaves enough; and the best of them."""

    series: Series
    size: Size
    shifts: Mapping[int, tuple[Values, Shift]]
    agreed: Sequence[int]  # the windows of which the rank test says the same

    @property
    def best(self) -> int:
        return min(self.agreed or self.shifts, key=lambda window: self.shifts[window][1].p)

    @property
    def p(self) -> float:
        """The smallest p-value, corrected for the number of windows."""
        return min(1.0, len(self.shifts) * self.shifts[self.best][1].p)


def judge(tonight: Figures, past: Sequence[Night], rules: Rules | None = None, accepted: Iterable[str] = ()) -> list[Ruling]:
    """Return the rulings on a night, `past` being the earlier nights of its machine, oldest first. `accepted` are patterns of case ids.

    What is accepted starts anew: the first night of its change is the first good one from then on.
    """
    rules = rules or Rules()
    past = [night for night in past if night.figures.machine == tonight.machine and night.figures.created < tonight.created]
    good = Good(past, tuple(accepted))
    nights = [*(night.figures for night in past), tonight]
    return [*outcomes(nights, good), *accuracy(nights, rules, good), *_metrics(nights, rules, good)]


def gate_of(rulings: Sequence[Ruling], accepted: Iterable[str] = ()) -> dict[str, Any]:
    """Return what a stored Run keeps of its rulings: those that later nights need, and the accepted patterns."""
    return {"confirmed": [r.to_json() for r in rulings if r.state is State.CONFIRMED], "accepted": sorted(accepted)}


class Good:
    """Which nights are good for a name: none in which a regression of it stood, and none before one that somebody accepted."""

    def __init__(self, past: Sequence[Night], accepted: Sequence[str]) -> None:
        self._bad: dict[str, list[tuple[str, str]]] = {}
        self._start: dict[str, str] = {}
        for night in past:
            self._accept(night.gate.get("accepted", ()))
            for ruling in night.gate.get("confirmed", ()):
                self._bad.setdefault(ruling["name"], []).append((ruling["since"], night.figures.created))
        self._accept(accepted)

    def _accept(self, patterns: Iterable[str]) -> None:
        literal = [pattern.replace("[", "[[]") for pattern in patterns]  # case ids are full of brackets, which stand for themselves
        for name in [name for name in self._bad if any(fnmatchcase(name.partition(" ")[0], pattern) for pattern in literal)]:
            self._start[name] = min(since for since, _ in self._bad.pop(name))

    def __call__(self, name: str, created: str) -> bool:
        """Tell whether a night is good for a name."""
        return created >= self._start.get(name, "") and not any(since <= created <= until for since, until in self._bad.get(name, ()))

    def counts(self, name: str, created: str) -> bool:
        """Tell whether a night has anything to say, good or bad."""
        return created >= self._start.get(name, "")


def _metrics(nights: Sequence[Figures], rules: Rules, good: Good) -> list[Ruling]:
    followed = {name: series for name, series in series_of(nights).items() if size_of(series.figure.metric)}
    phi = persistence([series.values[-rules.most :] for series in followed.values()], FLOOR)
    sided = [_sided(series, rules, good, phi) for series in followed.values()]
    corrected = holm([one.p if one.shifts else 1.0 for one in sided])
    return [_ruling(one, p, nights, rules) for one, p in zip(sided, corrected, strict=True)]


def _sided(series: Series, rules: Rules, good: Good, phi: float) -> _Sided:
    name, size = series.figure.name, size_of(series.figure.metric)
    assert size
    counting = [i for i, created in enumerate(series.created) if good.counts(name, created)]
    shifts: dict[int, tuple[Values, Shift]] = {}
    for window in rules.windows:
        before = [i for i in counting[:-window] if good(name, series.created[i])][-rules.most :]
        if len(before) >= rules.least:
            nights = series.values[before]
            shifts[window] = nights, shift(nights, series.values[counting[-window:]], phi)
    agreed = [window for window in shifts if _ranked(series, size, *shifts[window], window, rules)]
    return _Sided(series, size, shifts, agreed)


def _ruling(one: _Sided, p: float, nights: Sequence[Figures], rules: Rules) -> Ruling:
    figure, repeats = one.series.figure, len(one.series.figure.runs) - 1
    blank = Ruling(figure.name, figure.case, State.STEADY, "", repeats=repeats)
    if not one.shifts:
        return replace(blank, state=State.UNKNOWN, text=f"fewer than {rules.least} good nights before it; no alarm is possible yet")
    window = one.best
    _, found = one.shifts[window]
    proved = p <= rules.level and bool(one.agreed)
    suspect = min(s.p for _, s in one.shifts.values()) <= rules.suspicion and found.effect >= one.size.matters
    state = State.STEADY
    if suspect or one.shifts[min(one.shifts)][1].effect >= one.size.alone:
        state = State.SUSPECTED
    if state is State.SUSPECTED and not _still(one):
        state = State.CLEARED if repeats else State.STEADY
    if state is State.SUSPECTED and proved and repeats >= min(2, rules.repeats):
        state = State.CONFIRMED
    since = one.series.created[-window]
    text = f"{found.effect:+.1%} [{found.low:+.1%}, {found.high:+.1%}] against {len(one.shifts[window][0])} good nights"
    causes = came_with(nights, since, around=2) if state is State.CONFIRMED else ()
    return replace(
        blank, state=state, text=text, effect=found.effect, low=found.low, high=found.high, p=p, since=since, nights=window, causes=causes
    )


def _still(one: _Sided) -> bool:
    """Tell whether this night itself (its repeats, where there are any) is on the worse side, by half of what matters at least."""
    before, _ = one.shifts[min(one.shifts)]
    return float(one.series.values[-1]) - centre(before) >= one.size.matters / 2


def _ranked(series: Series, size: Size, before: Values, found: Shift, window: int, rules: Rules) -> bool:
    """Tell whether the rank test agrees: of nights against nights or, for what a night alone can prove, of its repeats against nights."""
    if found.p > rules.suspicion or found.effect < max(size.matters, rules.size * found.spread):
        return False
    if higher_by_rank(before, series.values[-window:]) <= rules.rank:
        return True
    alone = found.effect >= size.alone and len(series.figure.runs) > 1
    return alone and higher_by_rank(before, series.last_runs()[1:]) <= rules.rank
