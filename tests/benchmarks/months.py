"""How often the nightly gate cries wolf, and what it sees, in simulated months: `python -m tests.benchmarks.months` for docs/nightly.md.

The machine is that of tests/harness/history/month.py. Every month has a seed of its own, so the same
figures come out each time. Seeds below 40 were used to choose the rules, and are not used here.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from statistics import median

import numpy as np
from scipy.stats import binomtest

from tests.harness.history.month import Machine, World, alarms, live_through

SIZES, FIRST = (0.01, 0.02, 0.03, 0.05, 0.25), 15
LOSSES = (0.0, 0.01, 0.02, 0.03)  # of the four tasks
PLACES = {"quiet": 6, "middling": 18, "noisy": 30}  # in the order of their spreads


def clean(months: int) -> Iterator[str]:
    """Yield how many of so many months with nothing in them raised an alarm, and what they repeated."""
    told = [live_through(Machine(World(), seed)) for seed in range(2000, 2000 + months)]
    false = sum(bool(alarms(month)) for month in told)
    interval = binomtest(false, months).proportion_ci(0.95)
    repeated = np.mean([night.repeated for month in told for night in month])
    yield f"{false} of {months} clean months had a false alarm: {false / months:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
    yield f"{repeated:.2f} cases a night were repeated, of 44"


def seeded(months: int) -> Iterator[str]:
    """Yield what is seen of changes that begin in night 15 of 30, by size and by how much the nights of the metric differ."""
    found: dict[tuple[str, float], list[int]] = defaultdict(list)
    spreads: dict[str, list[float]] = defaultdict(list)
    for seed in range(1000, 1000 + months):
        order = np.argsort(Machine(World(), seed).spread)
        slow = {int(order[place + i]): (name, size) for name, place in PLACES.items() for i, size in enumerate(SIZES)}

        def by(metric: int, night: int, slow: dict[int, tuple[str, float]] = slow) -> float:
            return slow[metric][1] if metric in slow and night >= FIRST else 0.0

        machine = Machine(World(), seed, by, lambda task, night: LOSSES[task] if night >= FIRST else 0.0)
        for metric, (name, _) in slow.items():
            spreads[name].append(float(machine.spread[metric]))
        names = {f"performance/m{m} seconds": key for m, key in slow.items()}
        names |= {f"accuracy/t{t} accuracy": ("points", loss) for t, loss in enumerate(LOSSES)}
        first: dict[str, int] = {}
        for night in live_through(machine):
            for ruling in night.confirmed:
                first.setdefault(ruling.name, night.night - FIRST)
        for name, nights in first.items():
            if name in names and nights >= 0:
                found[names[name]].append(nights)
    for name in (*PLACES, "points"):
        about = f"{median(spreads[name]):.2%}" if name in spreads else "-"
        cells = [(size, found[name, size]) for size in (SIZES if name in PLACES else LOSSES)]
        yield f"{name} ({about}): " + "; ".join(f"{s:.0%} {len(c) / months:.0%}, night {median(c) + 1 if c else '-'}" for s, c in cells)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure false alarms and power of the nightly gate.")
    parser.add_argument("--clean", type=int, default=100, metavar="MONTHS")
    parser.add_argument("--seeded", type=int, default=50, metavar="MONTHS")
    options = parser.parse_args()
    for line in chain(clean(options.clean) if options.clean else (), seeded(options.seeded) if options.seeded else ()):
        print(line, flush=True)
