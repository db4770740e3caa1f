"""How near each workload comes to what the device can do: rooflines, measured, beside what was published. Knows no other section."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports import figures
from reports.blocks import Block, Figure, Table, Text
from reports.frame import Frames
from reports.performance import Rate, bandwidth_of, peak_of
from reports.roof import Roof, roofs
from reports.words import interval, number

ORDER, TITLE = 45, "Roofline"

_HOW = (
    "The roof is measured on the candidate: the best rate of STREAM's copy and triad over arrays beyond its caches, and the best of square "
    "matrix products. A workload's operations are those that its definition needs, its bytes the least that have to be moved (weights, "
    "operands, caches of keys and values), so its intensity is an upper bound, and its share of the roof a lower one where memory is the "
    "limit. A share above 100 % means that it runs out of a cache."
)


def render(frames: Frames) -> Sequence[Block]:
    """Return a figure and a table for each dtype; nothing where no roof was measured, or a side was emulated."""
    found = roofs(frames)
    if not found:
        return []
    hardware = str(frames.side("candidate").get("hardware") or frames.side("candidate").get("name"))
    blocks: list[Block] = [Text(_HOW), _measured(frames, found)]
    for roof in found:
        if roof.placed:
            label = f"Roofline of {hardware} in {roof.dtype}: operations a second over operations a byte, on logarithmic axes"
            points = [(one.case.partition("[")[0], one.intensity, one.achieved.value) for one in roof.placed]
            svg = figures.roofline(points, roof.bandwidth.ours.value, roof.product.ours.value, label)
            blocks += [Figure(svg, f"{hardware}, {roof.dtype}.", wide=True, legend=False), _workloads(roof)]
    return blocks


def _measured(frames: Frames, found: Sequence[Roof]) -> Table:
    stream = found[0].bandwidth
    rows = [_part("copy bandwidth", stream, 1e9, "GB/s", bandwidth_of(frames), 1e9)]
    rows += [_part(f"matrix products, {r.dtype}", r.product, 1e12, "TFLOP/s", peak_of(frames, r.dtype), 1e12) for r in found]
    head = ["part", "measured", "95 % interval", "by", "published", "share"]
    return Table("The roof, measured beside published", head, rows, numeric=("measured", "95 % interval", "share"))


def _part(name: str, rate: Rate, unit: float, unit_name: str, known: Mapping[str, Any] | None, factor: float) -> list[str]:
    low, high = (end / unit if end else None for end in (rate.ours.low, rate.ours.high))
    between = "too few rounds for an interval" if low is None or high is None else f"{number(low)} to {number(high)}"
    own = [name, f"{number(rate.ours.value / unit)} {unit_name}", between, rate.case.removeprefix("performance/roofline/")]
    if known is None:
        return [*own, "not known", "–"]
    ends = list(dict.fromkeys(number(known[end] / factor) for end in ("low", "high")))
    shares = list(dict.fromkeys(number(100 * rate.ours.value / known[end]) for end in ("high", "low")))
    return [*own, f"{' to '.join(ends)} {unit_name}{' (an estimate)' if known['estimated'] else ''}", f"{' to '.join(shares)} %"]


def _workloads(roof: Roof) -> Table:
    head = ["workload", "operations a byte", "GFLOP/s", "95 % interval", "limit by", "share of the roof"]
    return Table(f"Below the roof, {roof.dtype}", head, list(_rows(roof)), numeric=(*head[1:4], head[5]))


def _rows(roof: Roof) -> Iterator[list[str]]:
    for one in sorted(roof.placed, key=lambda placed: placed.intensity):
        low, high = (end / 1e9 if end else None for end in (one.achieved.low, one.achieved.high))
        scaled = type(one.achieved)(one.achieved.value / 1e9, low, high)
        limit = "memory" if one.intensity < roof.ridge else "matrix unit"
        yield [one.case, number(one.intensity), number(scaled.value), interval(scaled), limit, f"{number(100 * one.share)} %"]
