"""What a round costs in energy: windows of rounds back to back, each metered. Knows no case and no device but its meter.

Meters are new every few milliseconds to half a second, and a round may be shorter: so whole windows are metered, long against that
interval, and their scatter gives the interval of the median.
"""

import time
from collections.abc import Callable
from typing import Any

from harness.devices.energy import Meter

#: Windows; with six of them the median has an interval.
WINDOWS = 6

_LEAST = 0.2  # seconds a window, however quick the meter
_LONG = 10  # times the meter's interval


def metered(one_round: Callable[[], None], meter: Meter, round_seconds: float) -> dict[str, Any]:
    """Return the joules of a round in each window, and how they were metered, JSON-able; a round takes about `round_seconds`."""
    rounds = max(1, round(max(_LEAST, _LONG * meter.interval) / round_seconds))
    joules, seconds = [], []
    for _ in range(WINDOWS):
        begun = time.perf_counter()
        with meter:
            for _ in range(rounds):
                one_round()
        seconds.append(time.perf_counter() - begun)
        joules.append(meter.joules / rounds)
    return {**meter.told(), "joules": joules, "rounds": rounds, "window_seconds": seconds}
