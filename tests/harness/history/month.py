"""Simulated months of nights: what a machine's figures look like when nothing, or one thing, has changed.

Each metric has a spread of its own (0.25 to 1.2 % from night to night); a night keeps a part of the last one's deviation; all metrics share
some of it; deviations are Student's t with 4 degrees of freedom; one night in 25 is bad: half of its metrics are 2 to 8 % slower, all
night long or only while they were first run; rounds within a night have a long tail of slow ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from harness.history.figures import Answers, Figure, Figures
from harness.history.gate import Night, gate_of, judge
from harness.history.rules import Rules, Ruling, State

FIRST = date(2026, 1, 1)
TASKS, SAMPLES = 4, 1319
Slow = Callable[[int, int], float]  # of a metric and a night: by which factor it is slower


@dataclass(frozen=True)
class World:
    """How noisy a machine is. `spread` bounds the metrics' spreads from night to night, `keeps` is phi, `bad` how often a night is bad."""

    metrics: int = 40
    nights: int = 30
    spread: tuple[float, float] = (0.0025, 0.012)
    keeps: float = 0.4
    shared: float = 0.002
    bad: float = 0.04
    freedom: float = 4.0
    rounds: int = 8
    flips: float = 0.002  # of the answers, from night to night


def _noise(world: World, rng: np.random.Generator, rows: int) -> np.ndarray:
    """Return deviations [rows, nights] with variance one."""
    shocks = rng.standard_t(world.freedom, (rows, world.nights)) / (world.freedom / (world.freedom - 2)) ** 0.5
    for night in range(1, world.nights):
        shocks[:, night] = world.keeps * shocks[:, night - 1] + (1 - world.keeps**2) ** 0.5 * shocks[:, night]
    return shocks


class Machine:
    """A month of one machine: gives each night's figures, and again when some of its cases are repeated."""

    def __init__(self, world: World, seed: int, slow: Slow | None = None, lost: Callable[[int, int], float] | None = None) -> None:
        self.world, self._slow, self._lost = world, slow or (lambda metric, night: 0.0), lost or (lambda task, night: 0.0)
        self.rng = rng = np.random.default_rng(seed)
        self.spread = spread = np.exp(rng.uniform(*np.log(world.spread), world.metrics))
        self.levels = spread[:, None] * _noise(world, rng, world.metrics) + world.shared * _noise(world, rng, 1)
        self.hit = (rng.random((world.metrics, world.nights)) < 0.5) & (rng.random(world.nights) < world.bad)
        self.by = rng.uniform(0.02, 0.08, (world.metrics, world.nights))
        self.lasts = rng.random(world.nights) < 0.5
        self.truth = rng.random((TASKS, SAMPLES)) < 0.7
        self.bound_to_go = rng.random((TASKS, SAMPLES))

    def middling(self) -> int:
        """Return the metric whose spread is in the middle."""
        return int(np.argsort(self.spread)[len(self.spread) // 2])

    def _rounds(self, metric: int, night: int, again: bool) -> tuple[float, ...]:
        rng, count = self.rng, self.world.rounds
        bad = self.by[metric, night] if self.hit[metric, night] and (self.lasts[night] or not again) else 0.0
        level = self.levels[metric, night] + np.log1p(bad) + np.log1p(self._slow(metric, night)) + rng.normal(0, 0.001)
        tail = rng.exponential(0.004, count) + (rng.random(count) < 0.05) * rng.uniform(0.05, 0.5, count)
        return tuple(float(v) for v in 0.01 * (1 + metric) * np.exp(level + tail))

    def _answers(self, task: int, night: int) -> tuple[bool, ...]:
        right = self.truth[task] & ~(self.bound_to_go[task] < self._lost(task, night) / self.truth[task].mean())
        return tuple(bool(v) for v in right ^ (self.rng.random(SAMPLES) < self.world.flips))

    def night(self, index: int, facts: dict[str, str] | None = None) -> Figures:
        """Return a night's figures, before repeats."""
        metrics = range(self.world.metrics)
        figures = tuple(Figure(f"performance/m{m}", "seconds", "s/call", (self._rounds(m, index, False),)) for m in metrics)
        answers = {f"accuracy/t{t}": Answers("hash", (self._answers(t, index),)) for t in range(TASKS)}
        cases = [f.case for f in figures] + list(answers)
        created = f"{FIRST + timedelta(index)}T02:00:00+00:00"
        same = dict.fromkeys(cases, "pass"), dict.fromkeys(cases, "key")
        return Figures(created, "machine", "Ascend", False, facts or {}, {}, *same, figures, answers)

    def repeated(self, tonight: Figures, index: int, cases: set[str], times: int) -> Figures:
        """Return the night's figures with some cases run again."""
        figures = tuple(
            replace(f, runs=(*f.runs, *(self._rounds(int(f.case.removeprefix("performance/m")), index, True) for _ in range(times))))
            if f.case in cases else f
            for f in tonight.figures
        )  # fmt: skip
        answers = {
            case: replace(a, runs=(*a.runs, *(self._answers(int(case.removeprefix("accuracy/t")), index) for _ in range(times))))
            if case in cases else a
            for case, a in tonight.answers.items()
        }  # fmt: skip
        return replace(tonight, figures=figures, answers=answers)


@dataclass(frozen=True)
class Told:
    """What was said of one night: the confirmed regressions, and how many cases were repeated."""

    night: int
    confirmed: tuple[Ruling, ...]
    repeated: int


def live_through(machine: Machine, facts: Callable[[int], dict[str, str]] | None = None, rules: Rules | None = None) -> list[Told]:
    """Go through a month as the nightly job does: measure, suspect, repeat, decide, store."""
    rules, past, told = rules or Rules(), [], []
    for index in range(machine.world.nights):
        tonight = machine.night(index, facts(index) if facts else None)
        rulings = judge(tonight, past, rules)
        if suspects := {ruling.case for ruling in rulings if ruling.state is State.SUSPECTED}:
            tonight = machine.repeated(tonight, index, suspects, rules.repeats)
            rulings = judge(tonight, past, rules)
        past.append(Night(tonight, gate_of(rulings)))
        told.append(Told(index, tuple(r for r in rulings if r.state is State.CONFIRMED), len(suspects)))
    return told


def alarms(told: Sequence[Told]) -> set[str]:
    """Return the names of all regressions that were confirmed in a month."""
    return {ruling.name for night in told for ruling in night.confirmed}
