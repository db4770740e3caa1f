"""Does it answer as well? Task accuracy on both sides, with intervals. Knows no other section."""

from collections.abc import Sequence

from reports import phrases
from reports.blocks import Block, Mark, Table, Text
from reports.frame import Frames, records
from reports.phrases import Words, say
from reports.words import number

ORDER, TITLE = 10, "title-accuracy"


def render(frames: Frames) -> Sequence[Block]:
    """Return a row a task; nothing where no task was run, which is told among what is not known."""
    found = frames.found("accuracy", check="score")
    found = found[found["unit"] == "%"]
    if found.empty:
        return []
    rows: list[list[Words | Mark]] = []
    for f in records(found):
        span: Words = say("interval", low=number(f.low), high=number(f.high)) if f.low == f.low else say("dash")
        gap: Words = say("points", gap=f"{f.measured - f.reference:+.1f}") if f.reference == f.reference else say("dash")
        name = str(f.case).removeprefix("accuracy/")
        mark = Mark(str(f.outcome), phrases.outcome(str(f.outcome)))
        rows.append([name, mark, f"{number(f.measured)} %", span, f"{number(f.reference)} %", gap])
    head = [say(f"head-{name}") for name in ("task", "outcome", "candidate", "interval", "reference", "difference")]
    return [Text(say("accuracy-about")), Table(say("table-accuracy"), head, rows, numeric=head[2:])]
