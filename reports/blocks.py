"""What a section is made of: a few kinds of block that the template knows how to draw. Knows no verdict and no HTML.

A text is a string, or a phrase where the page is in several languages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from reports.phrases import Words


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is plain, note (small), lead (large), or banner (must not be overlooked)."""

    text: Words
    kind: str = "plain"


@dataclass(frozen=True)
class Tile:
    """One figure with its name, its interval or condition, and an outcome that colours it, if any."""

    label: Words
    value: Words
    note: Words
    outcome: str = ""


@dataclass(frozen=True)
class Tiles:
    """A few tiles in a row."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Mark:
    """A cell that is an outcome, shown by `label` where it has one."""

    outcome: str
    label: Words = ""


@dataclass(frozen=True)
class Link:
    """A cell that is a web address; made by `of`."""

    url: str

    @classmethod
    def of(cls, url: str) -> "str | Link":
        """Return a link where `url` is a plain http or https address, and the text as it is otherwise: a Run may come from anybody."""
        try:
            parts = urlsplit(url)
            plain = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        except ValueError:
            return url
        return cls(url) if plain and url.isprintable() and " " not in url else url


@dataclass(frozen=True)
class Noted:
    """A cell whose text must stand out: `kind` is an outcome, or "unlike": it differs from the cell beside it."""

    text: str
    kind: str


@dataclass(frozen=True)
class Table:
    """A table with a caption; columns named in `numeric` are set flush right."""

    caption: Words
    head: Sequence[Words]
    rows: Sequence[Sequence[Words | Mark | Link | Noted]]
    numeric: Sequence[Words] = ()


@dataclass(frozen=True)
class Figure:
    """An inline SVG made by `reports.figures`, with a caption; a `wide` one scrolls on a phone rather than shrink."""

    svg: str
    caption: Words
    wide: bool = False
    legend: bool = True


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    points: Sequence[Words]


@dataclass(frozen=True)
class Code:
    """A command to be copied."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Row:
    """Figures side by side where there is room."""

    figures: Sequence[Figure]


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader opens on demand; on paper they are left closed."""

    summary: str
    blocks: "Sequence[Block]"


@dataclass(frozen=True)
class Cases:
    """Every case in one table that is filtered and sorted where it is read; `columns` as `reports.cases` packs them."""

    count: int
    columns: Mapping[str, Any]


Block = Text | Tiles | Table | Figure | Code | Heading | Row | Fold | Points | Cases
