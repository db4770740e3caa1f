"""Frames to one HTML page. Knows no section by name."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.blocks import Link, Mark, Noted, Table
from reports.frame import OUTCOMES, Frames
from reports.sections import all_sections
from reports.words import device

_LONGEST = 2000  # characters of one text: a worker's whole log would drown the page
_UNSAFE = dict.fromkeys([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")


def page(runs: Sequence[Frames]) -> str:
    """Return a self-contained HTML document on one or several Runs."""
    templates = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shorten
    )
    templates.filters["kind"] = lambda block: type(block).__name__.lower()
    templates.filters["drawing"] = lambda figure: Markup(figure.svg)
    templates.tests["mark"] = lambda cell: isinstance(cell, Mark)
    templates.tests["noted"] = lambda cell: isinstance(cell, Noted)
    templates.tests["link"] = lambda cell: isinstance(cell, Link)
    sections = [(section.TITLE, section.render) for section in all_sections()]
    parts = [(frames, [(title, blocks) for title, render in sections if (blocks := render(frames))]) for frames in runs]
    beside = _side_by_side(runs) if len(runs) > 1 else None
    html = templates.get_template("report.html.jinja").render(
        parts=parts, beside=beside, device=device, emulated=any(frames.emulated for frames in runs)
    )
    return html.translate(_UNSAFE)  # controls and direction overrides could show a reader something else than is there


def _shorten(value: object) -> object:
    """Cut a text that nobody would read to its end; what the page's own macros made is no such text."""
    if isinstance(value, Markup) or not isinstance(value, str) or len(value) <= _LONGEST:
        return value
    return f"{value[:_LONGEST]} … ({len(value) - _LONGEST} more characters are in the run's folder)"


def _side_by_side(runs: Sequence[Frames]) -> Table:
    """Return what a reader wants of several runs before any of them: devices and outcomes."""
    rows: list[list[str | Mark]] = []
    for frames in runs:
        counts = frames.verdicts["outcome"].value_counts()
        about = " (one device)" if frames.comparison.get("self_comparison") else ""
        names = [device(frames.side("candidate")) + about, device(frames.side("reference"))]
        rows.append([frames.name, *names, *(str(int(counts.get(outcome, 0))) for outcome in OUTCOMES)])
    return Table("Runs side by side", ["run", "candidate", "reference", *OUTCOMES], rows, numeric=OUTCOMES)
