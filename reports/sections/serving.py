"""What a serving engine behind an endpoint answers, and what load it bears. Knows no other section.

The hardware is its owner's statement. Times are the client's: the network is in them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports import figures
from reports.blocks import Block, Figure, Heading, Mark, Points, Row, Table, Text, Tile, Tiles
from reports.frame import Frames, records
from reports.words import duration, number

ORDER, TITLE = 42, "Serving"
_KIND = "endpoint"
_CHECKS = ("given text", "continued", "company", "rendering")
_FEW = "too few"
_TIMES = (
    ("first token p50", "ttft", 0), ("p95", "ttft", 1), ("p99", "ttft", 2), ("each further p50", "tpot", 0), ("p95 ", "tpot", 1),
    ("whole answer p95", "latency", 1),
)  # fmt: skip

Phase = Mapping[str, Any]


def render(frames: Frames) -> Sequence[Block]:
    """Return parity and load of an endpoint; nothing where the candidate is none."""
    if frames.side("candidate").get("kind") != _KIND:
        return []
    return [*_about(frames), *_parity(frames), *(block for row in _loads(frames) for block in _load(*row))]


def _about(frames: Frames) -> list[Block]:
    side = frames.side("candidate")
    versions = side.get("versions", {})
    stated = (
        f"{side['hardware']}, as its owner states; it cannot be seen from outside"
        if side.get("stated")
        else side.get("hardware", "unknown")
    )
    engine = f"Engine: {versions.get('engine') or 'not told'}. Model: {versions.get('model', 'unknown')}. Hardware: {stated}."
    lacks = side.get("lacks") or []
    unseen = "Its weights, their precision and its settings are not visible: what they change shows in the figures alone."
    return [Text(engine), Text(unseen, "note"), *([Points([f"The server's API lacks {what}." for what in lacks])] if lacks else [])]


def _parity(frames: Frames) -> list[Block]:
    found = frames.findings[frames.findings["check"].isin(_CHECKS)]
    rows: list[list[str | Mark]] = [
        [str(f.case).removeprefix("inference/served/"), str(f.subject), Mark(str(f.outcome)), _measured(f), str(f.message) or "–"]
        for f in records(found[found["area"] == "inference"])
    ]  # fmt: skip
    if not rows:
        return []
    text = "Log-probabilities of given text and greedy tokens, beside the same model's in this process; float64 says how far either is off."
    head = ["case", "what", "outcome", "measured", "what was found"]
    return [Heading("Parity"), Text(text), Table("Answers of the endpoint", head, rows, numeric=("measured",))]


def _measured(finding: Any) -> str:
    if math.isnan(finding.measured):
        return "–"
    return f"{finding.measured:.0f} {finding.unit}" if finding.measured.is_integer() else f"{number(finding.measured)} {finding.unit}"


def _loads(frames: Frames) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    rows = records(frames.area("performance"))
    return [(str(r.case), str(r.outcome), str(r.message), r.evidence["told"]["load"]) for r in rows if "load" in r.evidence.get("told", {})]


def _load(case: str, outcome: str, message: str, load: Mapping[str, Any]) -> list[Block]:
    ours, theirs = load["candidate"], load["reference"]
    if not ours:
        return []
    limits = (
        f"Good is a request with its first token within {duration(load['ttft'])} and further ones within {duration(load['tpot'])} each."
    )
    text = (
        "Users wait for their answer before they ask again; arrivals come at random and wait for nobody, and their times count from when "
        f"they were due. {limits} Percentiles have 95 % intervals by order statistics, or there are too few requests for one."
    )
    judged = [] if outcome == "pass" else [Text(f"{case} ended as {outcome}: {message}", "banner")]
    drawn = [phase for phase in ours if phase["loop"] == "open"]
    tables = [*_tables("endpoint", ours), *(_tables("reference", theirs) if theirs else ())]
    failures = [f"{one['kind']}: {one['message']}" for one in load.get("failures", ())]
    told = [Text("Requests that failed, by kind, each with the first message:"), Points(failures)] if failures else []
    return [
        Heading(f"Load: {case.removeprefix('performance/')}"),
        *judged,
        Text(text),
        _tiles(ours),
        *_figures(drawn, theirs),
        *tables,
        *told,
    ]


def _tiles(phases: Sequence[Phase]) -> Tiles:
    best = max((p["tokens"] for p in phases if p["tokens"]), default=None)
    good = max((p["goodput"] for p in phases if p["goodput"]), default=None)
    grew = [p["offered"] for p in phases if p["loop"] == "open" and (p["grows"] or p["refused"])]
    borne = [
        p["offered"]
        for p in phases
        if p["loop"] == "open" and p["grows"] is False and not p["refused"] and p["offered"] < min(grew, default=1e99)
    ]
    lies = (
        f"above {number(max(borne))}/s"
        if borne and not grew
        else f"{number(max(borne))} to {number(min(grew))}/s"
        if borne
        else "below the lowest rate"
    )
    wrong = sum(p["failed"] for p in phases)
    return Tiles([
        Tile("most tokens a second", number(best), "once steady, of all phases"),
        Tile("most goodput", f"{number(good)}/s", "requests within both limits"),
        Tile("saturates", lies if grew or borne else "cannot tell", "arrivals from which the queue grows"),
        Tile("failed", f"{wrong} of {sum(p['requests'] for p in phases)}", "requests, each sent once", "fail" if wrong else "pass"),
    ])  # fmt: skip


def _figures(ours: Sequence[Phase], theirs: Sequence[Phase]) -> list[Block]:
    """Return latencies against the rate of arrivals, as far as there are two rates."""
    beside, found = [phase for phase in theirs if phase["loop"] == "open"], []
    grew = min((p["offered"] for p in ours if p["grows"]), default=None)
    for key, name in (("ttft", "time to first token"), ("tpot", "time per further token")):
        sides = {"candidate": _points(ours, key), "reference": _points(beside, key)}
        if len(sides["candidate"]) > 1:
            drawing = figures.against(sides, f"{name}, median, against the rate of arrivals", "arrivals a second", f"{name}, s", grew)
            found.append(
                Figure(drawing, f"{name.capitalize()}: median, its interval. Dashed: the queue grows.", legend=bool(sides["reference"]))
            )
    return [Row(found)] if found else []


def _points(phases: Sequence[Phase], key: str) -> list[tuple[float, float, float, float]]:
    return sorted((p["offered"], *p[key][0]) for p in phases if p[key][0][0] is not None)


def _tables(side: str, phases: Sequence[Phase]) -> list[Table]:
    head = ["phase", "requests", "queue", "tokens/s", "requests/s", "good", "goodput"]
    borne = Table(f"Load on the {side}", head, [_borne(phase) for phase in phases], numeric=head[3:])
    head = ["phase", *(name for name, _, _ in _TIMES), "between tokens p95"]
    return [borne, Table(f"Times under load, {side}", head, [_times(phase) for phase in phases], numeric=head[1:])]


def _borne(p: Phase) -> list[str]:
    left_out = p["cut"] or 0
    count = f"{p['requests']}" + (f", {p['failed']} failed" if p["failed"] else "") + (f", {p['refused']} refused" if p["refused"] else "")
    queue = "grows" if p["grows"] else "unsettled" if p["cut"] is None else f"steady after {left_out}" if left_out else "steady"
    share = "–" if p["good"] is None else f"{100 * p['good']:.0f} %"
    offered = f", {number(p['offered'])}/s" if p["loop"] == "open" and p.get("share") else ""
    return [f"{p['name']}{offered}", count, queue, number(p["tokens"]), number(p["rate"]), share, number(p["goodput"])]


def _times(p: Phase) -> list[str]:
    gap = p["gap"][1]
    return [p["name"], *(_quantile(p[key][at]) for _, key, at in _TIMES), "–" if gap is None else duration(gap)]


def _quantile(found: Sequence[float | None]) -> str:
    value, low, high = found
    if value is None or low is None or high is None:
        return _FEW
    factor, unit = next(((f, u) for f, u in ((1, "s"), (1e3, "ms")) if value * f >= 1), (1e6, "µs"))
    return f"{number(value * factor)} ({number(low * factor)} to {number(high * factor)}) {unit}"
