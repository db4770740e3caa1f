"""What it costs in time. Knows no other section."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.change import Told
from reports import figures
from reports.blocks import Block, Figure, Mark, Table, Text
from reports.frame import Frames
from reports.performance import Rate, Utilisation, rates, shown_as_performance, utilisation
from reports.words import duration, interval, number

ORDER, TITLE = 40, "Throughput"

_HOW = (
    "Median over the rounds that count, each synchronized; pytest-benchmark is the stopwatch. A ratio above 1: the candidate is faster. "
    "It is told where a rank test at 1 %, an effect size and a difference of 1 % or more agree; alike is within 1 %. Rounds before the "
    "steady state do not count."
)


def render(frames: Frames) -> Sequence[Block]:
    """Return rates with intervals and the ratio to the reference; nothing of what was emulated or is wrong."""
    timed = rates(frames)
    if not timed:
        return []
    if not shown_as_performance(frames):
        return [Text("A side was emulated. Its times say nothing about a device and are not shown.", "banner")]
    right = [r for r in timed if not r.wrong and r.theirs]
    blocks: list[Block] = [
        Text(_HOW),
    ]
    bars = [(r.case.removeprefix("performance/"), r.ours.value, r.theirs.value) for r in right if r.unit == "tokens" and r.theirs]
    if bars:
        blocks.append(
            Figure(figures.bars(bars, "Tokens a second, candidate and reference", "tokens/s"), "Language model workloads.", wide=True)
        )
    head = ["case", "candidate", "95 % interval", "reference", "ratio", "step p50", "step p95", "rounds", "how they went"]
    rows: list[list[str | Mark]] = [_row(r, bool(frames.comparison.get("self_comparison"))) for r in timed if not r.wrong]
    blocks.append(Table("Throughput", head, rows, numeric=head[1:-1]))
    blocks += _operations(frames, [r for r in timed if not r.wrong and r.flops and not r.case.startswith("performance/roofline/")])
    for r in timed:
        if r.wrong:
            blocks.append(Text(f"{r.case} is not shown: {r.wrong}", "note"))
    return blocks


def _operations(frames: Frames, counted: Sequence[Rate]) -> list[Block]:
    """Return operations a second of workloads, and what share of the peak that is, where a peak is known."""
    if not counted:
        return []
    rows, peaks = [], {}
    for r in counted:
        assert r.flops is not None
        assert r.achieved is not None
        used = utilisation(frames, r)
        share = _share(used) if used else "no peak known"
        if used:
            peaks[used.peak["name"]] = _peak(used.peak)
        rows.append([r.case.removeprefix("performance/"), f"{number(r.flops / 1e9)}", f"{number(r.achieved / 1e9)}", share])
    text = (
        "Operations are those that the model needs by its definition: matrix products forward and backward, causal attention counted once, "
        "of the experts those that a token visits, nothing recomputed. MFU is their rate as a share of the device's peak."
    )
    head = ["workload", "GFLOP a round", "GFLOP/s", "MFU"]
    return [
        Text(text),
        Table("Operations, candidate", head, rows, numeric=head[1:]),
        *(Text(t, "note") for t in peaks.values()),
    ]


def _share(used: Utilisation) -> str:
    low, high = number(100 * used.low), number(100 * used.high)
    return f"{low} %" if low == high else f"{low} to {high} %"


def _peak(peak: Mapping[str, Any]) -> str:
    low, high = number(peak["low"] / 1e12), number(peak["high"] / 1e12)
    rate = low if low == high else f"{low} to {high}"
    sure = "an estimate" if peak["estimated"] else "as the vendor has it"
    return f"Peak of {peak['hardware']}: {rate} TFLOP/s in {peak['dtype']} a {peak['per']}, {sure} ({peak['source']})."


def _row(r: Rate, same: bool) -> list[str | Mark]:
    unit = f" {r.unit}/s"
    if r.change is None or r.ratio is None:
        beside = "–"
    else:
        verdict = f"{number(r.ratio.value)} ×" if r.change.told in (Told.FASTER, Told.SLOWER) else str(r.change.told)
        beside = f"{verdict} ({interval(r.ratio)})" + (", one device" if same else "")
    theirs = number(r.theirs.value) + unit if r.theirs else "–"
    figures_ = [number(r.ours.value) + unit, interval(r.ours), theirs, beside, duration(r.p50), duration(r.p95), str(r.rounds), _went(r)]
    marks = {"no": " (nobody says that it is right)", "waived": " (waived)"}
    return [r.case.removeprefix("performance/") + marks.get(r.vouched, ""), *figures_]


def _went(r: Rate) -> str:
    """Return how the rounds went on their way to the steady state, and whether they were taken in turn with the reference's."""
    if not r.timing:
        return "a fixed number"
    before = len(r.timing.get("before", ()))
    return f"{r.timing.get('state')}{f', {before} before' if before else ''}{', in turn' if r.timing.get('in_turn') else ''}"
