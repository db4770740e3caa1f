"""Frames to one HTML page of two parts: for stakeholders, then for engineers. Knows no section by name."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import count

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from reports import comparison, figures, sections, stakeholder
from reports.blocks import Block, Link, Mark, Noted
from reports.cases import packed
from reports.comparison.series import in_order
from reports.frame import Frames
from reports.phrases import LANGUAGES, Phrase, Words, say
from reports.sections import found_in
from reports.words import device

_LONGEST = 2000  # characters of one text: a worker's whole log would drown the page
_IN_FULL = 3  # runs on different devices that are told in full
_UNSAFE = dict.fromkeys([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")


@dataclass(frozen=True)
class Part:
    """A section on the page: its anchor, title and blocks, and whether a side of what it tells was emulated."""

    id: str
    title: Words
    blocks: Sequence[Block]
    emulated: bool


@dataclass(frozen=True)
class Chapter:
    """What one reader reads, of one run or of several; `translated` where it is there in every language."""

    reader: str
    title: Words
    run: str
    translated: bool
    sections: Sequence[Part]


def page(runs: Sequence[Frames]) -> str:
    """Return a self-contained HTML document on one or several Runs."""
    figures.number_anew()
    told = _in_full(runs)
    chapters = [_stakeholder(frames, runs, n, len(told) > 1) for n, frames in enumerate(told, 1)]
    if len(runs) > 1:
        emulated = any(frames.emulated for frames in runs)
        parts = [Part(f"c-{n}", title, blocks, emulated) for n, (title, blocks) in enumerate(comparison.render(runs), 1) if blocks]
        chapters.append(Chapter("engineer", say("page-comparison"), "", False, parts))
    chapters += [_engineer(frames, n, len(told) > 1) for n, frames in enumerate(told, 1)]
    templates = _templates()
    html = templates.get_template("report.html.jinja").render(
        chapters=[chapter for chapter in chapters if chapter.sections], parts=[{"frames": frames} for frames in told],
        names=", ".join(frames.name for frames in runs), emulated=any(frames.emulated for frames in runs), languages=LANGUAGES,
        style=_text("report.css"), script=_text("report.js"), device=device, say=say,
    )  # fmt: skip
    return html.translate(_UNSAFE)  # controls and direction overrides could show a reader something else than is there


def _in_full(runs: Sequence[Frames]) -> Sequence[Frames]:
    """Return the runs that are told in full: the newest of a series on one device, and each of a few on different ones."""
    devices = {device(frames.side("candidate")) for frames in runs}
    return runs if len(devices) > 1 and len(runs) <= _IN_FULL else [in_order(runs)[-1]]


def _stakeholder(frames: Frames, runs: Sequence[Frames], number: int, named: bool) -> Chapter:
    """Return the first page: what is found in `reports.stakeholder`, and where several runs are given how it went over time."""
    told = [(say(section.TITLE), section.render(frames)) for section in found_in(stakeholder)]
    if len(runs) > 1 and not named:
        told.append((say("title-trends"), comparison.trends(runs)))
    parts = [Part(f"s{number}-{n}", title, blocks, frames.emulated) for n, (title, blocks) in enumerate(told, 1) if blocks]
    return Chapter("stakeholder", say("page-for-stakeholders"), frames.name if named else "", True, parts)


def _engineer(frames: Frames, number: int, named: bool) -> Chapter:
    told = [(section.TITLE, section.render(frames)) for section in found_in(sections)]
    parts = [Part(f"r{number}-{n}", title, blocks, frames.emulated) for n, (title, blocks) in enumerate(told, 1) if blocks]
    return Chapter("engineer", say("page-for-engineers"), frames.name if named else "", False, parts)


def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    numbers = count(1)
    templates.globals["fresh_id"] = lambda: f"n{next(numbers)}"
    templates.filters["kind"] = lambda block: type(block).__name__.lower()
    templates.filters["drawing"] = lambda figure: Markup(figure.svg)
    templates.filters["packed"] = lambda columns: Markup(packed(columns))
    templates.filters["fingerprint"] = lambda script: f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
    templates.tests["mark"] = lambda cell: isinstance(cell, Mark)
    templates.tests["noted"] = lambda cell: isinstance(cell, Noted)
    templates.tests["link"] = lambda cell: isinstance(cell, Link)
    return templates


def _text(name: str) -> Markup:
    """Return the page's own style or script: text that is not escaped."""
    return Markup(files("reports").joinpath("templates", name).read_text(encoding="utf-8"))


def _shown(value: object) -> object:
    """Write a phrase in every language, of which the page shows one, and cut a text that nobody would read to its end."""
    if isinstance(value, Phrase):
        if len(set(value.texts.values())) == 1:
            return _short(str(value))
        return Markup("").join(Markup('<span lang="{}">{}</span>').format(tag, _short(text)) for tag, text in value.texts.items())
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return value if len(value) <= _LONGEST else _short(value)


def _short(text: str) -> Markup:
    """Return the text, escaped, and cut where it is longer than anybody reads."""
    if len(text) <= _LONGEST:
        return escape(text)
    return escape(f"{text[:_LONGEST]} … ({len(text) - _LONGEST} more characters are in the run's folder)")
