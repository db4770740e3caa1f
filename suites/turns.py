"""Candidate and reference timed in turn in this process, each round by pytest-benchmark. Knows no workload, no verdict and not pytest.

pytest-benchmark times a number of rounds of one function, and asks a set-up function, untimed, for the arguments of each. So one call of
`benchmark.pedantic` has the rounds of all sides, and its set-up hands out whose turn it is. The number of rounds is not known beforehand:
once it is enough, what is left of them does nothing, and is cut off. Both sides have to be set up at the same time, so the recording of one
side encloses that of the next: each hands its round over from within its stopwatch.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol

from harness.case import Case
from harness.consumption import metered
from harness.devices import Device
from harness.measure import Stopwatch
from harness.recording import Recording
from harness.rounds import Budget, Rounds, Turns

Round = Callable[[], None]
Record = Callable[[Stopwatch], Recording]

_OPENING = 2  # rounds after which the peak of memory is reached: the second has all that the first has left


class Benchmark(Protocol):
    """What is used of pytest-benchmark's fixture."""

    stats: Any
    disabled: bool
    group: str | None
    extra_info: dict[str, Any]

    def pedantic(self, target: Callable[..., object], *, setup: Callable[[], object], rounds: int) -> object:
        """Time so many rounds of `target`, with the arguments that `setup` returns for each."""


class Side:
    """A device on which the case is recorded, by whom, and how it went. `shared`: another side is on the same device."""

    def __init__(self, name: str, device: Device, record: Record, shared: bool = False) -> None:
        self.name, self.device, self.record, self.shared = name, device, record, shared
        self.error: Exception | None = None
        self.memory: Mapping[str, int] | None = None
        self._round: Round = lambda: None

    def open(self, one_round: Round, first: bool) -> None:
        """Take over its round. Of sides that share a device the first alone can tell what it needs, before there is another."""
        self._round = one_round
        if self.shared:
            for _ in range(_OPENING if first else 0):
                one_round()
            self.memory = self.device.memory().to_json() if first else {}

    def __call__(self) -> None:
        """Go through a round, until the device is done; what it raises is kept in `error`."""
        with _Kept(self):
            self._round()
            self.device.synchronize()

    def energy(self, round_seconds: float) -> dict[str, Any]:
        """Return what a round costs in energy; nothing where the device reports none, or none any more."""
        found: dict[str, Any] = {}
        if meter := self.device.energy():
            with suppress(OSError, ValueError):
                found = metered(self, meter, round_seconds)
        if self.error:
            raise self.error
        return found


class _Kept:
    """Keeps what a side raises: it happens while another side is being recorded, which is not to blame."""

    def __init__(self, side: Side) -> None:
        self._side = side

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        self._side.error = error
        return True


def record(case: Case, sides: Sequence[Side], benchmark: Benchmark, budget: Budget) -> dict[str, Recording]:
    """Record the case on all sides, their rounds in turn, and return the recordings by side."""
    benchmark.group = case.id
    opened: list[Side] = []
    recordings: dict[str, Recording] = {}
    timed: list[Turns] = []

    def enter(waiting: Sequence[Side]) -> None:
        if not waiting:
            return
        side, *rest = waiting

        def stopwatch(one_round: Round, rounds: int) -> Rounds:
            side.open(one_round, first=not opened)
            opened.append(side)
            enter(rest)
            if not timed:  # the innermost that could be set up
                timed.append(_time(case, opened, benchmark, budget))
            return _taken(side, timed[0])

        recordings[side.name] = side.record(stopwatch)
        if side not in opened:
            enter(rest)

    enter(sides)
    return recordings


def _time(case: Case, sides: Sequence[Side], benchmark: Benchmark, budget: Budget) -> Turns:
    by_name = {side.name: side for side in sides}
    turns = Turns(list(by_name), case.seed, budget, time.monotonic, case.rounds)
    if benchmark.disabled:
        for side in [side for side in sides for _ in range(case.rounds)]:
            side()
        return turns
    due: list[str] = []

    def settle() -> None:
        """Note the round that has just been timed."""
        if due and by_name[due[-1]].error:
            turns.leave()
        elif due:
            turns.took(benchmark.stats.stats.data[-1])
        due.clear()

    def setup() -> tuple[tuple[Round], dict[str, object]]:
        if turns.ended is None:
            settle()
            if (name := turns.turn()) is not None:
                due.append(name)
                return (by_name[name],), {}
        return (_nothing,), {}

    benchmark.pedantic(_call, setup=setup, rounds=turns.most + 2 * len(sides))
    settle()
    _show(benchmark, turns, sides)
    return turns


def _call(one_round: Round) -> None:
    one_round()


def _nothing() -> None:
    """Stand for a round that nobody needs."""


def _show(benchmark: Benchmark, turns: Turns, sides: Sequence[Side]) -> None:
    """Leave in pytest-benchmark's own table the rounds of the first side that count, and the median of the others beside them."""
    rounds = {side.name: turns.rounds(side.name) for side in sides if not side.error}
    for name, taken in rounds.items():
        benchmark.extra_info[f"median of the {name}"] = taken.facts["median"]
    first = next(iter(rounds.values()), Rounds(()))
    benchmark.stats.stats.data[:] = first.seconds or benchmark.stats.stats.data[:1]


def _taken(side: Side, turns: Turns) -> Rounds:
    if side.error:
        raise side.error
    taken = turns.rounds(side.name)
    facts = {**taken.facts, "energy": side.energy(taken.facts["median"])} if taken.seconds else taken.facts
    return Rounds(taken.seconds, taken.before, facts, side.memory)
