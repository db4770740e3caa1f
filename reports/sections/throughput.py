"""What it costs in time. Knows no other section."""

from collections.abc import Sequence

from reports import figures
from reports.blocks import Block, Figure, Mark, Table, Text
from reports.frame import Frames
from reports.performance import Rate, rates, shown_as_performance
from reports.words import duration, interval, number

ORDER, TITLE = 40, "Throughput"


def render(frames: Frames) -> Sequence[Block]:
    """Return rates with intervals and the ratio to the reference; nothing of what was emulated or is wrong."""
    timed = rates(frames)
    if not timed:
        return []
    if not shown_as_performance(frames):
        return [Text("A side was emulated. Its times say nothing about a device and are not shown.", "banner")]
    right = [r for r in timed if not r.wrong and r.theirs]
    blocks: list[Block] = [
        Text("Median over raw rounds, each synchronized; pytest-benchmark is the stopwatch. A ratio above 1: the candidate is faster."),
    ]
    bars = [(r.case.removeprefix("performance/"), r.ours.value, r.theirs.value) for r in right if r.unit == "tokens" and r.theirs]
    if bars:
        blocks.append(
            Figure(figures.bars(bars, "Tokens a second, candidate and reference", "tokens/s"), "Language model workloads.", wide=True)
        )
    head = ["case", "candidate", "95 % interval", "reference", "ratio", "step p50", "step p95", "rounds"]
    rows: list[list[str | Mark]] = [_row(r, bool(frames.comparison.get("self_comparison"))) for r in timed if not r.wrong]
    blocks.append(Table("Throughput", head, rows, numeric=head[1:]))
    for r in timed:
        if r.wrong:
            blocks.append(Text(f"{r.case} is not shown: {r.wrong}", "note"))
    return blocks


def _row(r: Rate, same: bool) -> list[str | Mark]:
    unit = f" {r.unit}/s"
    if r.ratio is None:
        beside = "–"
    else:
        told = r.ratio.excludes(1.0)
        verdict = "cannot tell" if told is False else "no interval" if told is None else f"{number(r.ratio.value)} ×"
        beside = f"{verdict} ({interval(r.ratio)})" + (", one device" if same else "")
    theirs = number(r.theirs.value) + unit if r.theirs else "–"
    figures_ = [number(r.ours.value) + unit, interval(r.ours), theirs, beside, duration(r.p50), duration(r.p95), str(r.rounds)]
    return [r.case.removeprefix("performance/"), *figures_]
