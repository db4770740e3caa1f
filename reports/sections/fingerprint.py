"""The numeric fingerprint: what kind of arithmetic the candidate has, the reference's beside it. Knows no other section."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from reports.blocks import Block, Fold, Mark, Noted, Table, Text
from reports.frame import Frames, records

ORDER, TITLE = 5, "Numeric fingerprint"

_STEM = "operators/fingerprint/"
#: What each kind of probe is called here, in the order of the table; others come last, under their own name.
_KINDS = {
    "product": "Product", "convolution": "Convolution", "rounding": "Rounding", "special": "Special values", "integers": "Integers",
    "repetition": "Determinism", "batch": "Batches", "generator": "Generator", "support": "Support",
}  # fmt: skip
_FAILING = ("fail", "error")
_LONG = "refused operators"  # a list that few read


def render(frames: Frames) -> Sequence[Block]:
    """Return the banner where it is due, a sentence, and one row a fact."""
    found = frames.found("operators", check="fingerprint")
    found = found[found["case"].str.startswith(_STEM)]
    if found.empty:
        return []
    facts = _facts(found[found["subject"] != _LONG])
    head = ["fact", "candidate", "reference"]
    blocks: list[Block] = [Text(_sentence(facts)), Table("Exact probes, the same on both sides", head, _rows(facts))]
    if refused := _facts(found[found["subject"] == _LONG]):
        blocks.append(Fold("Common operators that are refused", [Table("Refused operators", head, _rows(refused))]))
    if frames.emulated:
        text = "EMULATED: the arithmetic is that of this machine's CPU under the stand-in. No line here describes a real device."
        blocks.insert(0, Text(text, "banner"))
    return blocks


def _facts(found: pd.DataFrame) -> list[tuple[str, list[Any]]]:
    """Return each fact's name with its findings, one a dtype, in the order of the kinds and of the dtypes in a kind."""
    if found.empty:
        return []  # pandas splits no column off nothing
    kinds = found["case"].astype(str).str.removeprefix(_STEM).str.partition("[")[0]
    order = {name: place for place, name in enumerate(_KINDS)}
    widths = {name: place for place, name in enumerate(("float32", "bfloat16", "float16", "int64", "int32", "int16", "int8", "uint8"))}
    table = found.assign(
        kind=kinds, place=kinds.map(order).fillna(len(order)), width=found["dtype"].astype(str).map(widths).fillna(len(widths))
    )
    grouped = table.sort_values(["place", "kind", "width"], kind="stable").groupby(["place", "kind", "subject"], sort=False, observed=True)
    return [(f"{_KINDS.get(str(kind), kind)}: {subject}", list(records(rows))) for (_, kind, subject), rows in grouped]


def _sentence(facts: list[tuple[str, list[Any]]]) -> str:
    unlike = sum(any(f.answer != f.reference_answer for f in findings) for _, findings in facts)
    broken = [name for name, findings in facts if any(f.outcome in _FAILING for f in findings)]
    text = f"The two sides answer alike in {len(facts) - unlike} of {len(facts)} facts" + (
        f" and differ in {unlike} (≠)." if unlike else "."
    )
    if broken:
        return f"{text} {len(broken)} {'breaks' if len(broken) == 1 else 'break'} what is promised (●): {'; '.join(broken)}."
    return f"{text} None breaks what is promised."


def _rows(facts: list[tuple[str, list[Any]]]) -> list[list[str | Mark | Noted]]:
    rows: list[list[str | Mark | Noted]] = []
    for name, findings in facts:
        ours, theirs = (_told([(str(f.dtype), str(getattr(f, side))) for f in findings]) for side in ("answer", "reference_answer"))
        failed = next((str(f.outcome) for f in findings if f.outcome in _FAILING), "")
        kind = failed or ("unlike" if ours != theirs else "")
        rows.append([name, Noted(ours, kind) if kind else ours, theirs])
    return rows


def _told(answers: list[tuple[str, str]]) -> str:
    """Join the answers of several dtypes: those that are the same are told once."""
    by_answer: dict[str, list[str]] = {}
    for dtype, answer in answers:
        by_answer.setdefault(answer, []).append(dtype)
    if len(by_answer) == 1:
        return next(iter(by_answer))
    return "; ".join(f"{', '.join(dtypes)}: {answer}" for answer, dtypes in by_answer.items())
