"""What does it cost? Throughput and memory, each as a ratio to the reference with its interval. Knows no other section."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.change import Told
from reports import phrases
from reports.blocks import Block, Table, Text, Tile, Tiles
from reports.frame import AREAS, Frames, records
from reports.performance import Rate, rates, shown_as_performance
from reports.phrases import Phrase, Words, joined, say
from reports.stakeholder.normal import why_not
from reports.statistics import Estimate
from reports.words import PEAKS, number, size

ORDER, TITLE = 5, "title-cost"
_LISTED = 12  # workloads whose ratio a stakeholder is shown; the engineers' table has all


def render(frames: Frames) -> Sequence[Block]:
    """Return the tiles, then what is faster or slower, then memory beside the reference's."""
    return [*_said(frames), Tiles([*_speed(frames), _memory(frames)]), *_ratios(frames), *_memories(frames)]


def _said(frames: Frames) -> list[Block]:
    if not shown_as_performance(frames):
        return [Text(say("cost-emulated"))]
    compared = _compared(frames)
    if frames.comparison.get("self_comparison"):
        return [Text(say("cost-self"))]
    if not compared:
        return []
    told = [r.change.told for r in compared if r.change]
    how = joined([say(f"cost-{one.name.lower()}", count=told.count(one)) for one in Told if one in told], comma=True)
    return [Text(say("cost-sentence", count=len(told), how=how), "lead"), Text(say("cost-about"), "note")]


def _compared(frames: Frames) -> list[Rate]:
    return [r for r in rates(frames) if r.ratio and not r.wrong and r.vouched != "no" and not r.case.startswith("performance/roofline/")]


def spread(estimate: Estimate) -> Phrase:
    """Return the 95 % interval, or the words that there is none."""
    if estimate.low is None or estimate.high is None:
        return say("no-interval")
    return say("interval", low=number(estimate.low), high=number(estimate.high))


def _speed(frames: Frames) -> list[Tile]:
    if not shown_as_performance(frames):
        return [Tile(say("throughput"), say("not-shown"), say("throughput-emulated"))]
    found = []
    timed = sorted(rates(frames), key=lambda r: bool(r.wrong))
    for key, name in (("training-throughput", "sft-step"), ("decoding-throughput", "decode")):
        row = next((r for r in timed if r.case.startswith(f"performance/{name}[")), None)
        if row is None:
            cases = frames.area("performance")
            why = why_not(cases[cases["case"].str.startswith(f"performance/{name}[")])
            found.append(Tile(say(key), say("not-measured"), why or say("no-timed-case")))
        elif row.wrong:
            found.append(Tile(say(key), say("not-shown"), say("did-not-pass", why=row.wrong), "fail"))
        else:
            found.append(_rate(say(key), row, alone=bool(frames.comparison.get("self_comparison"))))
    return found


def _rate(name: Phrase, row: Rate, alone: bool) -> Tile:
    """Return the ratio to the reference with its interval, and the rate itself; only the rate where there is nothing to compare with."""
    rate = f"{number(row.ours.value)} {row.unit}/s"
    if alone or not row.ratio:
        return Tile(name, rate, say("rate-note", dtype=row.dtype, interval=spread(row.ours)))
    untold = row.change is not None and row.change.told is Told.UNTOLD
    value = say("cannot-tell") if untold else say("rate-beside", ratio=number(row.ratio.value))
    return Tile(name, value, say("ratio-note", interval=spread(row.ratio), rate=rate, dtype=row.dtype))


def _memory(frames: Frames) -> Tile:
    """Return the largest peak in the best figure that the candidate has: tensors before allocator before process."""
    cases, evidence = frames.verdicts["case"], frames.verdicts["evidence"]
    known = [(e["candidate"]["memory"], case) for case, e in zip(cases, evidence, strict=True) if e.get("candidate", {}).get("memory")]
    for figure in PEAKS:
        value, case = max(((memory[figure], case) for memory, case in known if memory.get(figure)), default=(0, ""))
        if value:
            note = say("memory-note", what=say(f"memory-{figure}"), case=case)
            return Tile(say("peak-memory"), size(value), _marked(frames, note))
    return Tile(say("peak-memory"), say("not-measured"), say("memory-none"))


def _marked(frames: Frames, note: Phrase) -> Phrase:
    return say("emulated-note", text=note) if frames.emulated else note


def _ratios(frames: Frames) -> list[Block]:
    if not shown_as_performance(frames) or frames.comparison.get("self_comparison"):
        return []
    rows: list[list[Words]] = []
    for r in _compared(frames)[:_LISTED]:
        assert r.ratio
        assert r.theirs
        ratio: Words = say("cannot-tell") if r.change and r.change.told is Told.UNTOLD else f"{number(r.ratio.value)} ×"
        beside = f"{number(r.theirs.value)} {r.unit}/s"
        rows.append([r.case.removeprefix("performance/"), f"{number(r.ours.value)} {r.unit}/s", beside, ratio, spread(r.ratio)])
    head = [say(f"head-{name}") for name in ("case", "candidate", "reference", "ratio", "interval")]
    return [Table(say("table-speed"), head, rows, numeric=head[1:])] if rows else []


def _memories(frames: Frames) -> list[Block]:
    """Return the largest case of each area whose peak both sides account for in the same way."""
    rows: list[list[Words]] = []
    for area in AREAS[1:]:
        pairs = [
            (ours[figure], theirs[figure], figure, str(row.case))
            for row in records(frames.area(area))
            for ours, theirs in [(_peaks(row.evidence, "candidate"), _peaks(row.evidence, "reference"))]
            if (figure := next((f for f in PEAKS if ours.get(f) and theirs.get(f)), ""))
        ]
        if pairs:
            ours, theirs, figure, case = max(pairs)
            rows.append([phrases.area(area), case, say(f"memory-{figure}"), size(ours), size(theirs), f"{number(ours / theirs)} ×"])
    head = [say(f"head-{name}") for name in ("area", "case", "what", "candidate", "reference", "ratio")]
    return [Table(say("table-memory"), head, rows, numeric=head[3:])] if rows else []


def _peaks(evidence: Mapping[str, Any], side: str) -> Mapping[str, float]:
    return dict(evidence.get(side, {}).get("memory", {}))
