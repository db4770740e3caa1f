"""What others published of such work, beside what was measured where the two can be compared. Knows no other section.

A published figure stands beside a measured one only if both are of the same model, on the same hardware, in the same unit (a die is no
card), and nothing makes the published one unlike (offline, quantised ...). All others are listed apart, for context.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from reports.blocks import Block, Fold, Link, Mark, Noted, Table, Text
from reports.frame import Frames
from reports.performance import Rate, peak_of, rates, shown_as_performance, utilisation
from reports.words import number

ORDER, TITLE = 55, "Published figures"

_TRAINING = ("sft", "pretraining", "continued-training")  # all train every weight on next-token loss: the same work a token
_STAGES = {"sft-step": _TRAINING, "prefill": ("prefill",), "decode": ("decode",)}
_SHARED = ("MFU", "step time")  # of all devices together, whatever their number
_KINDS = {"training": "Training", "inference": "Inference", "accuracy": "Accuracy on tasks"}


def render(frames: Frames) -> Sequence[Block]:
    """Return comparisons, as far as there are, and the registry as context; nothing for a run that neither trains nor is timed."""
    figures = list(frames.published.get("figures", ()))
    if not figures or frames.area("post_training", "performance").empty:
        return []
    beside = _compared(frames, figures) if shown_as_performance(frames) else []
    apart = [figure for figure in figures if all(figure is not told for told, _ in beside)]
    blocks: list[Block] = []
    if not shown_as_performance(frames):
        blocks.append(Text("EMULATED: nothing that was measured here stands beside a published figure. These are context only.", "banner"))
    elif beside:
        rows = [[*_told(told), ours, _value(told), *_about(told)] for told, ours in beside]
        head = ["model", "figure", "measured here", "published", "where and how", "link"]
        blocks.append(Text("Same model, hardware and unit. How many devices, which parallelism, batch and length may still differ."))
        blocks.append(Table("Measured beside published", head, rows))
    else:
        blocks.append(Text(f"Nothing measured here can be set beside a published figure: {_why_none(frames, figures)}"))
    blocks.append(
        Text("For context, and no comparison: what others published, as their sources have it. An A3 card (910C) is two dies, each "
             "of them a logical device; so a figure for a card is not one for a device.", "note")
    )  # fmt: skip
    return [*blocks, *_context(apart)]


def _compared(frames: Frames, figures: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], str]]:
    """Return each comparable figure with what was measured here, in the same unit."""
    timed = [rate for rate in rates(frames) if not rate.wrong]
    found = []
    for figure in figures:
        if figure["flags"] or not _same_model(frames, figure) or not _same_hardware(frames, figure):
            continue
        ours = next((text for rate in timed if (text := _measured(frames, rate, figure))), "")
        if ours:
            found.append((figure, ours))
    return found


def _same_model(frames: Frames, figure: Mapping[str, Any]) -> bool:
    return _plain(str(frames.comparison.get("model", ""))) == _plain(figure["model"])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.rpartition("/")[2].lower())


def _same_hardware(frames: Frames, figure: Mapping[str, Any]) -> bool:
    return bool(figure["device"]) and fnmatchcase(str(frames.side("candidate").get("hardware", "")), figure["device"])


def _measured(frames: Frames, rate: Rate, figure: Mapping[str, Any]) -> str:
    """Return a timed case's own value of what a figure is of, or nothing where it has none in that unit."""
    name = rate.case.removeprefix("performance/").partition("[")[0]
    if figure["stage"] not in _STAGES.get(name, ()) or rate.dtype != "bfloat16":
        return ""
    if figure["measure"] == "MFU" and (used := utilisation(frames, rate)):
        return f"{number(100 * used.low)} to {number(100 * used.high)} % of the peak of a {used.peak['per']}"
    peak = peak_of(frames, rate.dtype)
    if figure["measure"] == "rate" and figure["unit"] == f"{rate.unit}/s" and peak and figure["per"] == peak["per"]:
        return f"{number(rate.ours.value)} {figure['unit']} a {peak['per']}"
    return ""


def _why_none(frames: Frames, figures: Sequence[Mapping[str, Any]]) -> str:
    """Say what is the first thing that no figure shares with this run."""
    hardware = [figure for figure in figures if _same_hardware(frames, figure)]
    if not hardware:
        return f"none is of {frames.side('candidate').get('hardware', 'this hardware')}."
    if not any(_same_model(frames, figure) for figure in hardware):
        return f"those of this hardware are of other models than {frames.comparison.get('model', 'this one')}."
    return "those of this hardware and model are of other stages, in other units, or made under other conditions."


def _context(figures: Sequence[Mapping[str, Any]]) -> list[Block]:
    head = ["model", "figure", "published", "where and how", "link"]
    folds: list[Block] = []
    for kind, name in _KINDS.items():
        rows = [[*_told(figure), _value(figure), *_about(figure)] for figure in figures if figure["kind"] == kind]
        if rows:
            folds.append(Fold(f"{name}: {len(rows)} published figures", [Table(f"Published: {name.lower()}", head, rows)]))
    return folds


def _told(figure: Mapping[str, Any]) -> list[str]:
    return [figure["model"], f"{figure['measure']}, {figure['stage']}" if figure["kind"] != "accuracy" else figure["measure"]]


def _value(figure: Mapping[str, Any]) -> str:
    """Return the figure as it was published, with its unit and what it is of."""
    numbers = [figure["value"], *([figure["upto"]] if figure["upto"] is not None else [])]
    value = " to ".join(f"{x:,.12g}".replace(",", "\u202f") for x in numbers)
    of = "" if figure["per"] == "none" or figure["measure"] in _SHARED else f" a {figure['per'].replace('-', ' ')}"
    return f"{value} {figure['unit']}{of}"


def _about(figure: Mapping[str, Any]) -> list[str | Mark | Link | Noted]:
    flags = (flag.replace("-", " ") for flag in figure["flags"])
    told = (figure["hardware"], figure["devices"], figure["conditions"], *flags, f"source: {figure['source']}, {figure['date']}")
    return ["; ".join(filter(None, told)), Link.of(figure["link"]) if figure["link"] else ""]
