"""Serving in this process: does a token come out as it should, what do formats lose, and what does waiting cost? Knows no other section."""

from collections.abc import Iterable, Sequence

from reports import figures
from reports.blocks import Block, Figure, Fold, Heading, Mark, Row, Table, Text
from reports.frame import Frames
from reports.inference import Served, Wait, served, waits
from reports.performance import shown_as_performance
from reports.words import PEAKS, duration, number, size

ORDER, TITLE = 24, "Inference"

_DRAWN = 4
_SHOWN = 20
_WAITS = {"ttft": "time to first token", "tpot": "time per output token"}


def render(frames: Frames) -> Sequence[Block]:
    """Return how tokens, distributions, caches and formats fared, and what waiting and caches cost; nothing where none was asked for."""
    cases, costs = served(frames), waits(frames)
    if not cases and not costs:
        return []
    blocks: list[Block] = []
    if frames.emulated:
        text = "EMULATED: the stand-in computes on the CPU. What passes here shows that the path works; it is no parity of devices."
        blocks.append(Text(text, "banner"))
    if cases:
        blocks += [Text(_sentence(cases), "lead"), *_tables(cases), *_divergences(cases), *_formats(cases)]
    return [*blocks, *_costs(frames, costs)]


def _sentence(cases: Sequence[Served]) -> str:
    good = sum(case.outcome == "pass" for case in cases)
    text = f"{good} of {len(cases)} inference cases passed."
    tokens = [found for case in cases if (found := case.found("decoding", "tokens"))]
    if tokens:
        equal = sum(found.measured == found.bound for found in tokens)
        text += f" In {equal} of {len(tokens)} that choose tokens every token is the reference's; where one differs, its margin says why."
    return text


def _tables(cases: Sequence[Served]) -> list[Block]:
    head = ["inference case", "outcome", "tokens equal", "KL, mean", "reference's KL", "in company", "drafts accepted"]
    caption = (
        "Inference cases: tokens equal from the start; KL of the next token's distribution from float64, in nats, mean over places; "
        "whether a row in a batch has the bits that it has alone; and the share of proposed tokens that was accepted"
    )
    rows = [_row(case) for case in cases]
    shown = Table(caption, head, rows[:_SHOWN], numeric=head[2:5])
    if len(rows) <= _SHOWN:
        return [shown]
    rest = Table("Inference cases, the others", head, rows[_SHOWN:], numeric=head[2:5])
    return [shown, Fold(f"{len(rows) - _SHOWN} more inference cases", [rest])]


def _row(case: Served) -> list[str | Mark]:
    tokens, mean = case.found("decoding", "tokens"), case.found("divergence", "mean")
    company, accepted = case.found("batch_invariance"), case.found("acceptance")
    return [
        case.name, Mark(case.outcome),
        f"{tokens.measured:.0f} of {tokens.bound:.0f}" if tokens else "–",
        number(mean.measured) if mean else "–", number(mean.reference) if mean else "–",
        ("the same bits" if company.measured == 0 else f"{company.measured:.0f} elements differ") if company else "–",
        f"{number(100 * accepted.measured)} %" if accepted and accepted.measured is not None else "–",
    ]  # fmt: skip


def _divergences(cases: Sequence[Served]) -> list[Block]:
    """Draw the divergence place by place, of those that did not pass or come closest to their bound."""
    curves = [(case, case.divergence) for case in cases]
    drawn = [
        Figure(
            figures.over(range(len(curve[0])), dict(zip(("candidate", "reference"), curve, strict=True)), f"KL of {case.case} by place",
                         "place, from the first that was compared", "nats", log="y"),
            f"{case.name}",
        )
        for case, curve in curves if curve and len(curve[0]) > 1
    ][:_DRAWN]  # fmt: skip
    if not drawn:
        return []
    text = (
        "How far the distribution of the next token is from float64's, place by place, on a logarithmic axis: first cases that did not "
        "pass, then those that come closest to their bound. A fault that grows with the context climbs."
    )
    return [Heading("KL by place"), Text(text, "note"), Row(drawn)]


def _formats(cases: Sequence[Served]) -> list[Block]:
    """Draw the signal-to-noise ratio by layer for each format, of the first model that has most of them, and tell all in a table."""
    told = sorted((case for case in cases if case.by_layer("snr/format")), key=lambda case: case.name)
    if not told:
        return []
    models = {case.model: sum(other.model == case.model for other in told) for case in told}
    model = max(models, key=lambda one: (models[one], one == ""))
    chosen: dict[str, Served] = {}
    for case in told:
        if case.model == model:
            chosen.setdefault(case.form, case)
    text = (
        "Weights and activations through a round trip of the format. Drawn is what the format loses against the model without it, layer by "
        "layer, in dB: both sides were asked for it, so it is told and not judged. What the device adds is judged where every quantised "
        "place is given its numbers; it is the second pair of columns."
    )
    name = f"tiny {model}" if model else "the model that was asked for"
    figures_ = [
        Figure(_layers(case), f"{form} on {name}, {case.dtype}: {number(case.by_layer('snr/format')[-1][1])} dB after the last layer")
        for form, case in chosen.items()
    ]
    rows = [_noise(case) for case in told]
    head = ["format", "outcome", "lost, last layer", "reference's", "device, noisiest layer", "reference's there"]
    caption = "Signal-to-noise ratio in dB (a higher one is better; 6 dB are a factor of two)"
    table = Table(caption, head, rows[:_SHOWN], numeric=head[2:])
    more: list[Block] = []
    if len(rows) > _SHOWN:
        more = [
            Fold(f"{len(rows) - _SHOWN} more", [Table("Signal-to-noise ratio in dB, the others", head, rows[_SHOWN:], numeric=head[2:])])
        ]
    return [Heading("Number formats"), Text(text, "note"), Row(figures_), table, *more]


def _layers(case: Served) -> str:
    rows = case.by_layer("snr/format")
    series = {"candidate": [ours for _, ours, _ in rows], "reference": [theirs for _, _, theirs in rows]}
    return figures.over(range(len(rows)), series, f"signal-to-noise ratio of {case.case} by layer", "layer", "dB")


def _noise(case: Served) -> list[str | Mark]:
    lost, device = case.by_layer("snr/format")[-1], min(case.by_layer("snr"), key=lambda row: row[1])
    return [case.name.removeprefix("quantised-"), Mark(case.outcome), *(number(v) for v in (*lost[1:], *device[1:]))]


def _costs(frames: Frames, costs: Sequence[Wait]) -> list[Block]:
    """Return what waiting costs, and what caches take; no time of what was emulated, or of what is wrong."""
    if not costs:
        return []
    blocks: list[Block] = [Heading("What waiting and caches cost")]
    if shown_as_performance(frames):
        blocks += [*_waiting([one for one in costs if one.right])]
    else:
        blocks.append(Text("A side was emulated. Its times say nothing about a device and are not shown.", "banner"))
    head = ["case", "batch", "context", "cache, measured", "cache, counted", "peak"]
    caption = "Memory of the cache after so many tokens, as it is and as the configuration makes it, and the candidate's peak"
    rows = [[
        one.case.removeprefix("performance/"), str(one.batch), str(one.context), size(one.cache_bytes),
        size(one.cache_counted), _peak(one),
    ] for one in costs]  # fmt: skip
    return [*blocks, *_caches(costs), Table(caption, head, rows, numeric=head[1:])]


def _peak(one: Wait) -> str:
    return next((f"{size(one.memory[key])} {name}" for key, name in PEAKS.items() if key in one.memory), "–")


def _waiting(costs: Sequence[Wait]) -> list[Block]:
    rows = []
    for one in costs:
        ours, theirs = one.percentiles("candidate"), one.percentiles("reference")
        if ours:
            beside = [duration(theirs[0]), duration(theirs[2])] if theirs else ["–", "–"]
            rows.append(
                [one.case.removeprefix("performance/"), *(duration(value) for value in ours), *beside, str(len(one.seconds["candidate"]))]
            )
    if not rows:
        return []
    head = ["case", "p50", "p95", "p99", "reference's p50", "reference's p99", "rounds"]
    text = (
        "Time to first token is one pass over the prompts, time per output token one step of all rows after it, each round a sample. "
        "A percentile of few rounds is hardly more than the slowest of them; the rounds are in the Run."
    )
    caption = "Time to first token (ttft) and time per output token (tpot)"
    return [Text(text), *_drawn(costs), Table(caption, head, rows, numeric=head[1:])]


def _drawn(costs: Sequence[Wait]) -> list[Block]:
    """Draw the median wait against the context, for each batch that was asked for at several contexts."""
    drawn = []
    for kind, batch, dtype in _groups(costs):
        group = [one for one in costs if (one.kind, one.batch, one.dtype) == (kind, batch, dtype) and not one.model]
        group.sort(key=lambda one: one.context)
        medians = {side: [1e3 * found[0] for one in group if (found := one.percentiles(side))] for side in ("candidate", "reference")}
        series = {side: values for side, values in medians.items() if len(values) == len(group)}
        svg = figures.over([one.context for one in group], series, f"{_WAITS[kind]}, batch {batch}", "context, tokens", "ms", log="xy")
        drawn.append(Figure(svg, f"{_WAITS[kind].capitalize()}, p50, batch {batch}, {dtype}"))
    return [Row(drawn)] if drawn else []


def _groups(costs: Iterable[Wait]) -> list[tuple[str, int, str]]:
    keys = [(one.kind, one.batch, one.dtype) for one in costs if not one.model]
    return [key for key in dict.fromkeys(keys) if keys.count(key) > 1]


def _caches(costs: Sequence[Wait]) -> list[Block]:
    """Draw what the cache of a decoding batch takes against its context."""
    drawn = []
    for kind, batch, dtype in _groups(costs):
        if kind != "tpot":
            continue
        group = sorted(
            (one for one in costs if (one.kind, one.batch, one.dtype) == (kind, batch, dtype) and not one.model), key=lambda o: o.context
        )
        series = {"candidate": [one.cache_bytes / 2**20 for one in group]}
        svg = figures.over([one.context for one in group], series, f"cache of {batch} rows", "context, tokens", "MiB", log="xy")
        drawn.append(Figure(svg, f"Cache of keys and values, batch {batch}, {dtype}"))
    return [Row(drawn)] if drawn else []
