"""Puts faults and benign variants of training code to the invariants, and says what became of them. Knows none of them by name.

In this process, on the CPU: an invariant is judged by the candidate alone; of a stage, a theme too, reference and golden are without the
change. A benign variant counts where it was there: where outputs are not the same bits without it.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from harness.case import Case
from harness.devices import Device, open_device
from harness.judge import judge
from harness.manner import Manner
from harness.measure import measure
from harness.recording import Recording
from harness.verdict import FAILING, Verdict
from suites.mutation.score import Row, row
from suites.mutation.seeds import Seed
from suites.mutation.training import BENIGN, FAULTS

ENOUGH = 4  # failing cases after which a fault is known to be caught

SEEDS: tuple[Seed, ...] = (*FAULTS, *BENIGN)


def names() -> frozenset[str]:
    """Return the names of all faults and benign variants of training code."""
    return frozenset(seed.name for seed in SEEDS)


@cache
def cases(theme: str) -> tuple[Case, ...]:
    """Return the invariants of a module of `suites.workloads.invariants`; of a stage, `post_training.<module>`, what needs no reruns."""
    within = "suites.workloads" if "." in theme else "suites.workloads.invariants"
    found: tuple[Case, ...] = importlib.import_module(f"{within}.{theme}").CASES
    return tuple(case for case in found if not case.band)


def cases_of(seed: Seed) -> Iterator[Case]:
    """Yield the invariants that a seed is put to: all of its themes that are asked of its family."""
    for theme in seed.themes:
        yield from (case for case in cases(theme) if case.params["model"] == f"tiny:{seed.family}")


@dataclass
class Trial:
    """Judges invariants on one device; what they give without any change is kept."""

    device: Device = field(default_factory=lambda: open_device("cpu"))
    _right: dict[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    _sides: dict[str, tuple[Recording, Recording]] = field(default_factory=dict)

    def under(self, seed: Seed, enough: int = ENOUGH) -> Row:
        """Put a seed to its cases; a fault to no more than `enough` that fail. A case that fails without it is passed over."""
        verdicts: list[Verdict] = []
        struck = failed = 0
        for case in cases_of(seed):
            self.sides(case)
            with seed.change():
                verdict, arrays = self.judged(case)
            if (seed.benign or verdict.outcome in FAILING) and not (right := self.right(case)):
                continue
            verdicts.append(verdict)
            failed += verdict.outcome in FAILING
            struck += verdict.outcome in FAILING or (seed.benign and not _same(arrays, right))
            if failed == enough:
                break
        return row(seed.name, "training", seed.source, (seed.family, *seed.themes), seed.causes, len(verdicts), struck, verdicts)

    def right(self, case: Case) -> Mapping[str, np.ndarray]:
        """Return what a case gives without a change; nothing where it fails."""
        if case.id not in self._right:
            verdict, arrays = self.judged(case)
            self._right[case.id] = {} if verdict.outcome in FAILING else arrays
        return self._right[case.id]

    def judged(self, case: Case) -> tuple[Verdict, Mapping[str, np.ndarray]]:
        """Return the verdict on a case as it is now, and its outputs."""
        held = _held(case, self.device)
        reference, golden = self.sides(case) or (held, None)
        return judge(case, held, reference, golden), held.tensors

    def sides(self, case: Case) -> tuple[Recording, Recording] | None:
        """Return reference and golden of a case as they were when they were first asked for; none of an invariant, which needs none."""
        if case.golden and case.id not in self._sides:
            host = open_device("cpu")
            self._sides[case.id] = (_held(case, host), _held(case, host, Manner.GOLDEN))
        return self._sides.get(case.id)


def _held(case: Case, device: Device, manner: Manner = Manner.PLAIN) -> Recording:
    recording, arrays = measure(case, device, manner=manner)
    held = _Held(**vars(recording))
    held.__dict__["tensors"] = arrays
    return held


class _Held(Recording):
    """A recording whose arrays are in memory: nothing is written."""


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(one[k].tobytes() == other[k].tobytes() for k in one)


def run(only: Iterable[str] = ()) -> list[Row]:
    """Put every seed to its invariants, or those named alone, and return a row for each."""
    wanted, trial = frozenset(only), Trial()
    return [trial.under(seed) for seed in SEEDS if not wanted or seed.name in wanted]
