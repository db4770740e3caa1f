"""Known differences that somebody signed: which applied, what they excuse, and which did not and why. Knows no other section."""

from collections.abc import Mapping, Sequence
from typing import Any

from reports.blocks import Block, Link, Mark, Table, Text
from reports.frame import Frames, records
from reports.words import number

ORDER, TITLE = 15, "Waivers"
_LISTED = 100  # excused findings that are shown; a run with more has a waiver that is too wide


def render(frames: Frames) -> Sequence[Block]:
    """Return the waivers that applied to a verdict, what they excuse, and the others."""
    found = frames.findings[frames.findings["check"] == "waiver"]
    idle = [waiver for waiver in frames.waivers if waiver["source"] not in set(found["subject"])]
    if found.empty and not idle:
        return []
    text = (
        "A waiver is a known difference that somebody signed, with a reason and a last day. A case that it excuses is never counted as a "
        "pass. It fails when the last day is over, and when there is nothing left to excuse."
    )
    return [Text(text), *_applied(frames), *_excused(frames), *_idle(idle)]


def _applied(frames: Frames) -> list[Block]:
    known = {waiver["source"]: waiver for waiver in frames.waivers}
    rows = [
        [str(f.case), Mark(str(f.outcome)), *_signed(str(f.subject), known.get(str(f.subject)), str(f.message))]
        for f in records(frames.findings[frames.findings["check"] == "waiver"].sort_values(["outcome", "case"]))
    ]
    return (
        [Table("Waivers that applied, case by case", ["case", "outcome", "reason", "owner", "link", "until", "waiver"], rows)]
        if rows
        else []
    )


def _signed(source: str, waiver: Mapping[str, str] | None, message: str) -> list[str | Mark | Link]:
    """Return reason, owner, link, last day and name; a waiver that is gone since (after a resume) left only its sentence."""
    if waiver is None:
        return [message, "–", "–", "–", source]
    until = waiver["expires"] + (", expired" if waiver["state"] == "expired" else "")
    return [waiver["reason"], waiver["owner"], Link.of(waiver["link"]), until, source]


def _excused(frames: Frames) -> list[Block]:
    waived = frames.verdicts.loc[frames.verdicts["outcome"] == "waived", "case"]
    found = frames.findings[frames.findings["case"].isin(waived) & frames.findings["outcome"].isin(["fail", "mistrusted"])]
    rows: list[list[str | Mark]] = []
    for f in records(found.head(_LISTED)):
        figures = [f"{number(v)} {f.unit}" if v == v else "–" for v in (f.measured, f.bound, f.reference)]
        rows.append([str(f.case), Mark(str(f.outcome)), f"{f.check}: {f.subject}", *figures, str(f.where) or "–", str(f.message)])
    caption = "What is excused" if len(found) <= _LISTED else f"The first {_LISTED} of {len(found)} findings that are excused"
    head = ["case", "outcome", "finding", "measured", "bound", "reference", "where", "in words"]
    return [Table(caption, head, rows, numeric=("measured", "bound", "reference"))] if rows else []


def _listed(case: str | Sequence[str]) -> str:
    return case if isinstance(case, str) else ", ".join(case)


def _idle(waivers: Sequence[Mapping[str, Any]]) -> list[Block]:
    rows = [
        [waiver["source"], _listed(waiver["case"]), waiver["state"], waiver["why"] or "no case that it covers was judged here",
         waiver["reason"], waiver["owner"], Link.of(waiver["link"]), waiver["expires"]]
        for waiver in waivers
    ]  # fmt: skip
    return (
        [Table("Waivers that did not apply here", ["waiver", "covers", "state", "why", "reason", "owner", "link", "until"], rows)]
        if rows
        else []
    )
