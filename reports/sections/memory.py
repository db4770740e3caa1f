"""What it costs in memory. Knows no other section."""

from collections.abc import Mapping, Sequence
from typing import Any

from reports.blocks import Block, Mark, Table, Text
from reports.frame import Frames, records
from reports.words import PEAKS, number, size

ORDER, TITLE = 50, "Memory"


def render(frames: Frames) -> Sequence[Block]:
    """Return the peaks of every case beyond single operators."""
    rows: list[list[str | Mark]] = []
    for row in records(frames.area("post_training", "inference", "accuracy", "performance")):
        ours, theirs = (row.evidence.get(side, {}).get("memory", {}) for side in ("candidate", "reference"))
        for key, name in PEAKS.items():
            if key in ours or key in theirs:
                rows.append([str(row.case), name, size(ours.get(key)), size(theirs.get(key))])
    if not rows:
        return []
    text = "Peaks while the rounds ran, as the framework's allocator or, on a CPU, the operating system accounts for them. "
    text += (
        "Post-training cases of the real model have a process of their own; the others share one, so a resident set includes what "
        "earlier cases left behind."
    )
    emulated = (
        [Text("EMULATED: memory is the workload's as the framework accounts for it, on a stand-in device.", "banner")]
        if frames.emulated
        else []
    )
    head = ["case", "what", "candidate", "reference"]
    return [*emulated, *_split(frames), Text(text), Table("Peak memory", head, rows, numeric=("candidate", "reference"))]


def _split(frames: Frames) -> list[Block]:
    """Return where the memory of training steps goes, and how activations grow."""
    parts: list[list[str | Mark]] = []
    growth: list[list[str | Mark]] = []
    for row in records(frames.area("post_training")):
        ours, theirs = (row.evidence.get(side, {}).get("costs", {}).get("memory", {}) for side in ("candidate", "reference"))
        if "activations" not in ours:
            continue
        name = str(row.case).removeprefix("post_training/footprint/")
        peak = row.evidence["candidate"]["memory"].get("allocated_peak")
        held = [size(ours[part]) for part in ("weights", "gradients", "optimizer", "activations")]
        parts.append([name, *held, size(theirs.get("activations")), size(peak)])
        growth.append([name, *_growth(ours)])
    if not parts:
        return []
    split = ["training step", "weights", "gradients", "optimizer", "activations", "reference's activations", "allocator's peak"]
    grows = ["training step", "a layer", "outside layers", "a further row", "a further token", "a token squared", "misfit"]
    before = (
        "Where the memory of one training step goes. Weights, gradients and optimizer states are the tensors' own bytes, "
        "and must equal what the configuration makes. Activations are the most that autograd kept at once for the backward pass, "
        "narrow copies of weights "
        "among them. The allocator's peak, where the framework counts, holds what operators need besides."
    )
    after = (
        "How activations grow: the mean of a layer, then least-squares fits over rows (linear) and over the length of rows (quadratic, "
        "whose square is what attention scores cost where they are kept). Weights, gradients and optimizer states grow with layers alone."
    )
    return [
        Text(before), Table("Memory of a training step, by part", split, parts, numeric=split[1:]),
        Text(after), Table("Growth of activations", grows, growth, numeric=grows[1:]),
    ]  # fmt: skip


def _growth(memory: Mapping[str, Any]) -> list[str]:
    *layers, outside = memory["layers"]
    batch, length = memory["batch"], memory["length"]
    misfit = max(batch["misfit"], length["misfit"])
    _, row = batch["fit"]
    _, token, squared = length["fit"]
    each = size(sum(layers) / len(layers)) if layers else "–"
    shown = "none" if abs(squared) < 1e-3 else size(squared)  # what rounding leaves of a fit
    return [each, size(outside), size(row), size(token), shown, f"{number(100 * misfit, 2)} %" if misfit > 1e-9 else "none"]
