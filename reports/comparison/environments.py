"""What differs between the machines and the software of two runs. Knows no verdict."""

from reports.blocks import Block, Fold, Table, Text
from reports.frame import Frames
from reports.phrases import Words
from reports.sections.environment import merged


def render(before: Frames, after: Frames) -> list[Block]:
    """Return rows that differ, candidates then references; what is equal is counted and folded."""
    blocks: list[Block] = []
    sides = [(f.environments, f.comparison.get("reference_environments") or {}) for f in (before, after)]
    for name, pair in zip(("candidates", "references"), zip(*sides, strict=True), strict=True):
        old, new = (merged(environments) for environments in pair)
        items = sorted({*old, *new})
        rows: list[list[Words]] = [[n, old.get(n, "–"), new.get(n, "–")] for n in items if old.get(n) != new.get(n)]
        equal: list[list[Words]] = [[n, old[n]] for n in items if old.get(n) == new.get(n)]
        if rows:
            blocks.append(Table(f"The two {name} differ in", ["item", "A", "B"], rows))
        else:
            blocks.append(Text(f"The environments of the two {name} are the same in all {len(equal)} recorded items."))
        if rows and equal:
            blocks.append(Fold(f"{len(equal)} items are equal", [Table(f"Equal for the {name}", ["item", "value"], equal)]))
    return blocks
