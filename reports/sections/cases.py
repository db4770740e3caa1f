"""Every case in one table, to be filtered and sorted. Knows no other section."""

from collections.abc import Sequence

from reports.blocks import Block, Cases, Text
from reports.cases import columns
from reports.frame import Frames

ORDER, TITLE = 12, "Every case"


def render(frames: Frames) -> Sequence[Block]:
    """Return the table; what failed is told in full above it."""
    text = (
        "One row a case, with the finding that comes closest to its bound: 100 % is the limit. A row opens to what was found and to the "
        "command that repeats it."
    )
    return [Text(text), Cases(len(frames.verdicts), columns(frames))]
