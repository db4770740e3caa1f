"""What it costs in memory. Knows no other section."""

from collections.abc import Sequence

from reports.blocks import Block, Mark, Table, Text
from reports.frame import Frames, records
from reports.words import PEAKS, size

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
        "Post-training cases have a process of their own; the others share one, so a resident set includes what earlier cases left behind."
    )
    emulated = (
        [Text("EMULATED: memory is the workload's as the framework accounts for it, on a stand-in device.", "banner")]
        if frames.emulated
        else []
    )
    head = ["case", "what", "candidate", "reference"]
    return [*emulated, Text(text), Table("Peak memory", head, rows, numeric=("candidate", "reference"))]
