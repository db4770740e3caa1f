"""What a section is made of: a few kinds of block that the template knows how to draw. Knows no verdict and no HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is plain, note (small), or banner (must not be overlooked)."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Tile:
    """One figure with its name, its interval or condition, and an outcome that colours it, if any."""

    label: str
    value: str
    note: str
    outcome: str = ""


@dataclass(frozen=True)
class Tiles:
    """A few tiles in a row."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Mark:
    """A cell that is an outcome."""

    outcome: str


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

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Mark | Link | Noted]]
    numeric: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """An inline SVG made by `reports.figures`, with a caption; a `wide` one scrolls on a phone rather than shrink."""

    svg: str
    caption: str
    wide: bool = False


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


Block = Text | Tiles | Table | Figure | Code | Heading | Row | Fold
