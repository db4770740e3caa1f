"""What it costs in energy, where the devices report it. Knows no other section."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.change import Estimate, middle
from reports.blocks import Block, Table, Text
from reports.frame import Frames
from reports.performance import Rate, rates, shown_as_performance
from reports.words import duration, interval, number

ORDER, TITLE = 48, "Energy"

_HOW = (
    "Joules of the whole device while rounds ran back to back, idle power and whoever else works there included; "
    "the median of windows that are long against the meter's own interval."
)


def render(frames: Frames) -> Sequence[Block]:
    """Return joules for each unit of work, with intervals; nothing of what was emulated, is wrong, or was timed without looking."""
    timed = [rate for rate in rates(frames) if not rate.wrong and "energy" in rate.timing]
    if not timed or not shown_as_performance(frames):
        return []
    metered = [rate for rate in timed if rate.timing["energy"]]
    if not metered:
        device = frames.side("candidate")
        return [Text(f"Not reported by this device ({device.get('hardware') or device.get('name')}).")]
    head = ["case", "candidate", "95 % interval", "reference"]
    rows = [_row(rate) for rate in metered]
    meters = [meter for rate in metered for meter in (rate.timing["energy"], rate.their_energy) if meter]
    sources = {f"{meter['source']}, new every {duration(meter['interval'])}" for meter in meters}
    table = Table("Energy for each unit of work", head, rows, numeric=head[1:])
    return [Text(_HOW), table, Text(f"Metered by: {'; '.join(sorted(sources))}.", "note")]


def _row(rate: Rate) -> list[str]:
    ours = _joules(rate.timing["energy"], rate.work)
    unit = f"J/{rate.unit.removesuffix('s')}"
    theirs = f"{number(_joules(rate.their_energy, rate.work).value)} {unit}" if rate.their_energy else "not reported by this device"
    return [rate.case.removeprefix("performance/"), f"{number(ours.value)} {unit}", interval(ours), theirs]


def _joules(energy: Mapping[str, Any], work: float) -> Estimate:
    """Return joules for one unit of work; a window in which the meter did not move has no logarithm, and there is no interval then."""
    joules = [float(value) / work for value in energy["joules"]]
    return middle(joules) if min(joules) > 0 else Estimate(sum(joules) / len(joules))
