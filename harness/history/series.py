"""Figures of one machine, night by night, as series that can be compared. Knows no statistic and no rule for alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from harness.history.figures import Figure, Figures
from harness.history.shift import Values

_DATE = 10  # of an ISO 8601 time


@dataclass(frozen=True)
class Series:
    """One metric of one case: the figure of each night that has it, in the order of time.

    `values` [nights] are natural logarithms, so that differences are relative, and higher is worse. `created` says which nights.
    """

    figure: Figure
    created: tuple[str, ...]
    values: Values

    def last_runs(self) -> Values:
        """Return the last night's runs [runs], the first and its repeats, each by its median."""
        logarithms = np.log(np.array([median(run) for run in self.figure.runs], dtype=np.float64))
        return -logarithms if self.figure.higher else logarithms


def series_of(nights: Sequence[Figures]) -> dict[str, Series]:
    """Return the series that go on to the last night, by name.

    A night counts for a case only if it ran the same definition, on the machine of the last.
    """
    if not nights:
        return {}
    last = nights[-1]
    found: dict[str, list[tuple[str, float]]] = {f.name: [] for f in last.figures}
    for night in nights:
        if night.machine != last.machine:
            continue
        for figure in night.figures:
            if figure.name in found and night.keys.get(figure.case) == last.keys.get(figure.case) and (value := figure.value) > 0:
                found[figure.name].append((night.created, value))
    return {f.name: _series(f, found[f.name]) for f in last.figures if found[f.name]}


def _series(figure: Figure, points: list[tuple[str, float]]) -> Series:
    logarithms = np.log(np.array([value for _, value in points], dtype=np.float64))
    return Series(figure, tuple(created for created, _ in points), -logarithms if figure.higher else logarithms)


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Return which facts of a machine differ, each in words."""
    names = sorted({*before, *after})
    return tuple(f"{n}: {before.get(n) or 'none'} -> {after.get(n) or 'none'}" for n in names if before.get(n, "") != after.get(n, ""))


def came_with(nights: Sequence[Figures], created: str, around: int = 0) -> tuple[str, ...]:
    """Return what changed on the machine with the night `created`, or up to `around` nights of it, with the date where it is another night.

    Eturn what changed on the machine with the night `created`, or up to `around` nights of it, with the date where it is another
    night.
    """
    mine = [night for night in nights if night.machine == nights[-1].machine]
    at = next((i for i, night in enumerate(mine) if night.created == created), 0)
    found: list[str] = []
    for i in sorted(range(max(1, at - around), min(len(mine), at + around + 1)), key=lambda i: (abs(i - at), i)):
        on = "" if i == at else f" (on {mine[i].created[:_DATE]})"
        found += [text + on for text in differences(mine[i - 1].facts, mine[i].facts)]
    return tuple(found)
