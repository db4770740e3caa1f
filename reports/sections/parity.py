"""Numerical parity: each error against float64, the candidate's beside the reference's. Knows no other section."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports import figures
from reports.blocks import Block, Figure, Fold, Heading, Mark, Table, Text
from reports.frame import Frames, records
from reports.words import number

ORDER, TITLE = 20, "Parity"
_DRAWN, _LISTED = 40, 400


def render(frames: Frames) -> Sequence[Block]:
    """Return operators and decoding, as far as they were run."""
    blocks = [*_operators(frames), *_inference(frames), *_everything(frames)]
    if blocks and frames.emulated:
        text = "EMULATED: the stand-in computes on the CPU. What agrees here shows that the path works; it is no parity of devices."
        blocks.insert(0, Text(text, "banner"))
    return blocks


def _operators(frames: Frames) -> list[Block]:
    rows = frames.found("operators", check="closeness")
    rows = rows[rows["subject"].str.endswith(" rms") & rows["measured"].notna()]
    if rows.empty:
        return []
    worst = rows.assign(share=rows["measured"] / rows["bound"]).sort_values("share", ascending=False).drop_duplicates("case")
    worst = worst.assign(name=worst["case"].astype(str).str.removeprefix("operators/"))
    lost = worst[~np.isfinite(worst["measured"])]
    worst = worst[np.isfinite(worst["measured"])]
    drawn = worst.head(_DRAWN).sort_values("name")
    dots = [(str(r.name_), float(r.measured), float(r.reference)) for r in records(drawn.rename(columns={"name": "name_"}))]
    dots = [(n, max(a, 1e-3), max(b, 1e-3)) for n, a, b in dots]
    text = "For each operator the output or gradient that comes closest to its bound. 0.5 u is what correct rounding leaves."
    if len(worst) > _DRAWN:
        text += f" Drawn are the {_DRAWN} of {len(worst)} cases that come closest to their bounds."
    if len(lost):
        text += f" Not drawn, because the result is not finite: {', '.join(lost['name'].head(_DRAWN))}."
    if worst.empty:
        return [Heading("Operators"), Text(text)]
    if (drawn["measured"] < 1e-3).any():
        text += " Errors below 0.001 u are drawn at 0.001 u."
    drawing = figures.dots(
        dots, "Error of each operator against float64, candidate and reference", "rms error against float64, in units of roundoff u"
    )
    return [Heading("Operators"), Text(text), Figure(drawing, "Operators, forward and backward.", wide=True)]


def _inference(frames: Frames) -> list[Block]:
    rows = frames.found("inference")
    if rows.empty:
        return []
    tokens: list[list[str | Mark]] = [
        [str(r.case), Mark(str(r.outcome)), str(r.message)] for r in records(rows[rows["subject"] == "tokens"])
    ]  # fmt: skip
    close = _table("Logits: errors against float64, in u", rows[rows["unit"] == "u"])
    decoded: list[Block] = [Table("Greedy decoding, token by token", ["case", "outcome", "what was found"], tokens)] if tokens else []
    return [Heading("Inference"), *decoded, close]


def _table(caption: str, found: pd.DataFrame) -> Table:
    rows: list[list[str | Mark]] = [
        [str(f.case), str(f.subject), Mark(str(f.outcome)), number(f.measured), number(f.reference), number(f.bound), str(f.where) or "–"]
        for f in records(found)
    ]  # fmt: skip
    head = ["case", "what", "outcome", "candidate", "reference", "bound", "where it is worst"]
    return Table(caption, head, rows, numeric=("candidate", "reference", "bound"))


def _everything(frames: Frames) -> list[Block]:
    rows = frames.found("operators")
    rows = rows[rows["unit"] == "u"].sort_values(["case", "subject"])
    if rows.empty:
        return []
    more = f" The first {_LISTED} are listed; the JSON has all." if len(rows) > _LISTED else ""
    text = Text(f"{len(rows)} figures.{more}", "note")
    return [Fold("Every operator figure", [text, _table("Operators: errors against float64, in u", rows.head(_LISTED))])]
