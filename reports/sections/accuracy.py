"""Task accuracy, paired by sample. Knows no other section."""

from collections.abc import Sequence

from reports.blocks import Block, Mark, Table, Text
from reports.frame import Frames, records
from reports.words import number

ORDER, TITLE = 30, "Task accuracy"


def render(frames: Frames) -> Sequence[Block]:
    """Return the paired table; every row says how small a difference it could have shown."""
    found = frames.found("accuracy", check="score")
    if found.empty:
        return []
    rows: list[list[str | Mark]] = []
    for f in records(found[found["unit"] == "%"]):
        span = f"{number(f.low)} to {number(f.high)} %" if f.low == f.low else "–"
        rows.append(
            [
                str(f.case).removeprefix("accuracy/"),
                Mark(str(f.outcome)),
                f"{number(f.measured)} %",
                span,
                f"{number(f.reference)} %",
                str(f.message),
            ]
        )
    head = ["task", "outcome", "candidate", "95 % interval", "reference", "sample by sample"]
    drift: list[list[str | Mark]] = [
        [str(f.case).removeprefix("accuracy/"), f"{number(f.measured)} {f.unit}"] for f in records(found[found["unit"] == "nats"])
    ]  # fmt: skip
    blocks: list[Block] = [
        Text(
            "The same questions, answered on both sides and compared one by one (exact McNemar test, 1 % level). "
            "No difference found is not a proof of equality: each row says how small a difference its samples could have shown."
        ),
        Table("Accuracy", head, rows, numeric=("candidate", "95 % interval", "reference")),
    ]
    if drift:
        blocks.append(
            Table("Largest difference of a log-likelihood between the two sides", ["task", "difference"], drift, numeric=("difference",))
        )
    return blocks
