"""A series of runs over time: one line a figure, with its interval, and the steps that are more than scatter. Knows no single outcome."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.history.changes import steps
from harness.verdict import FAILING
from reports import figures
from reports.blocks import Block, Figure, Row, Table, Text
from reports.comparison.outcomes import better, paired, worse
from reports.frame import Frames
from reports.performance import rates, shown_as_performance
from reports.phrases import Words, say
from reports.tasks import POINTS, tasks
from reports.words import device, moment, number

_DRAWN = 12  # figures that are drawn; the table has all
_FEWEST = 2


@dataclass(frozen=True)
class Line:
    """One figure in every run of a series, NaN where a run has none; `low` and `high` bound it with 95 % confidence."""

    name: str
    unit: str
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def steps(self) -> list[int]:
        """The runs, by number from 0, with which the figure changed by more than its scatter."""
        known = [n for n, value in enumerate(self.values) if value > 0]  # neither NaN nor 0, which has no logarithm
        return [known[at] for at, _ in steps(np.log([self.values[n] for n in known]))] if known else []

    @property
    def change(self) -> float:
        """The newest value over the median of those before, as a fraction; NaN where there is none."""
        known = [v for v in self.values if np.isfinite(v)]
        return known[-1] / float(np.median(known[:-1])) - 1 if len(known) > 1 and np.median(known[:-1]) else float("nan")


def in_order(runs: Sequence[Frames]) -> list[Frames]:
    """Return the runs, the oldest first."""
    return sorted(runs, key=lambda frames: frames.created)


def one_device(runs: Sequence[Frames]) -> list[Frames]:
    """Return the runs whose candidate is that of the newest, the oldest first: others are no earlier state of it."""
    ordered = in_order(runs)
    return [frames for frames in ordered if device(frames.side("candidate")) == device(ordered[-1].side("candidate"))]


def lines(runs: Sequence[Frames]) -> list[Line]:
    """Return the figures that at least two runs have: speeds (of nothing emulated), task scores, and cases that fail."""
    ordered = one_device(runs)
    found: dict[tuple[str, str], dict[int, tuple[float, float, float]]] = {}
    for n, frames in enumerate(ordered):
        for name, unit, value, low, high in _measured(frames):
            found.setdefault((name, unit), {})[n] = (value, low, high)
    nothing = (float("nan"),) * 3
    told = []
    for (name, unit), points in found.items():
        columns = list(zip(*(points.get(n, nothing) for n in range(len(ordered))), strict=True))
        if len(points) >= _FEWEST:
            told.append(Line(name, unit, *columns))
    return told


def _measured(frames: Frames) -> list[tuple[str, str, float, float, float]]:
    nan = float("nan")
    found = []
    if shown_as_performance(frames):
        for r in rates(frames):
            if not r.wrong:
                low, high = (nan if edge is None else edge for edge in (r.ours.low, r.ours.high))
                found.append((r.case, f"{r.unit}/s", r.ours.value, low, high))
    for task in tasks(frames):
        low, high = (nan if edge is None else edge for edge in (task.candidate.low, task.candidate.high))
        found.append((task.case, "%" if task.unit == POINTS else task.unit, task.candidate.value, low, high))
    return found


def render(runs: Sequence[Frames]) -> list[Block]:
    """Return every figure of the series drawn and in a table, those that changed most first; nothing for fewer than three runs."""
    if len(one_device(runs)) <= _FEWEST:
        return []
    told = sorted(lines(runs), key=lambda line: -abs(line.change) if line.change == line.change else 0.0)
    if not told:
        return [Text("No figure is there in two runs or more.")]
    drawn: list[Block] = [Row([_drawing(line) for line in told[:_DRAWN]])]
    names = [f"{n}: {frames.name}, {moment(frames.created)}" for n, frames in enumerate(one_device(runs), 1)]
    rows: list[list[Words]] = [
        [line.name, line.unit, *(number(v) if v == v else "–" for v in (line.values[0], line.values[-1])),
         f"{100 * line.change:+.1f} %" if line.change == line.change else "–", ", ".join(str(s + 1) for s in line.steps) or "none"]
        for line in told
    ]  # fmt: skip
    head = ["figure", "unit", "first run", "newest run", "newest to the median before", "steps, by run"]
    return [
        Text("Runs by number: " + "; ".join(names) + ".", "note"),
        *drawn,
        Table("Figures over the series", head, rows, numeric=head[2:5]),
    ]


def told(runs: Sequence[Frames]) -> list[Block]:
    """Return what a stakeholder reads of a series: what changed last, how many cases fail, and the figures that moved."""
    ordered = one_device(runs)
    if len(ordered) < _FEWEST:
        return []
    pairs = paired(*ordered[-2:])
    lost, won = len(worse(pairs)), len(better(pairs))
    first, last = moment(ordered[0].created), moment(ordered[-1].created)
    blocks: list[Block] = [
        Text(say("trends-about", count=len(ordered), first=first, last=last)),
        Text(say("trends-worse", worse=lost, better=won) if lost or won else say("trends-same")),
    ]
    stepped = [line for line in lines(runs) if line.steps]
    if stepped:
        steps = "; ".join(f"{line.name}, {ordered[step].name}" for line in stepped for step in line.steps)
        blocks.append(Text(say("trends-steps", steps=steps)))
    else:
        blocks.append(Text(say("trends-no-step")))
    if any(not shown_as_performance(frames) for frames in ordered):
        blocks.append(Text(say("trends-emulated"), "note"))
    failing = [float(frames.verdicts["outcome"].isin([str(o) for o in FAILING]).sum()) for frames in ordered]
    passing = [float((frames.verdicts["outcome"] == "pass").sum()) for frames in ordered]
    gaps = [float("nan")] * len(ordered)
    counts = [
        figures.trend(values, gaps, gaps, (), what, what) for values, what in ((passing, "cases that pass"), (failing, "cases that fail"))
    ]
    shown = [Figure(svg, say("trends-passed"), legend=False) for svg in counts]
    moved = sorted(lines(runs), key=lambda line: (not line.steps, -abs(line.change) if line.change == line.change else 0.0))[:2]
    return [*blocks, Row([*shown, *(_drawing(line) for line in moved)])]


def _drawing(line: Line) -> Figure:
    svg = figures.trend(line.values, line.low, line.high, line.steps, f"{line.name} over runs", line.unit)
    return Figure(svg, say("trends-curve", metric=line.name), legend=False)
