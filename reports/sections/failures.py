"""What failed, in full: check, measured, bound, place, environments, and the command that repeats it. Knows no other section."""

from collections.abc import Sequence

from reports.blocks import Block, Code, Fold, Heading, Mark, Table, Text
from reports.frame import Frames, records
from reports.words import number

ORDER, TITLE = 10, "What did not pass"
_FULL = 40  # verdicts shown in full; a run with more has one cause


def render(frames: Frames) -> Sequence[Block]:
    """Return one part a failing verdict, then what is unsupported."""
    blocks: list[Block] = []
    for row in records(frames.failing.head(_FULL)):
        blocks += [Heading(f"{row.case}: {row.outcome}"), Text(str(row.message)), _findings(frames, str(row.case)), _sides(row.evidence)]
        blocks.append(Code(str(row.reproduce)))
    rest = frames.failing.iloc[_FULL:]
    if len(rest):
        rows: list[list[str | Mark]] = [[str(r.case), Mark(str(r.outcome)), str(r.message)] for r in records(rest.head(500))]
        blocks.append(Fold(f"{len(rest)} more", [Table("More failing cases (the first 500)", ["case", "outcome", "message"], rows)]))
    refused = frames.verdicts[frames.verdicts["outcome"] == "unsupported"]
    if len(refused):
        rows = [[str(r.case), str(r.message)] for r in records(refused.head(500))]
        blocks += [Heading("Unsupported, in the device's own words"), Table("Never counted as a pass", ["case", "message"], rows)]
    return blocks


def _findings(frames: Frames, case: str) -> Table:
    rows: list[list[str | Mark]] = []
    found = frames.findings[(frames.findings["case"] == case) & (frames.findings["outcome"] != "pass")]
    for f in records(found.head(12)):
        figures = [f"{number(v)} {f.unit}" if v == v else "–" for v in (f.measured, f.bound, f.reference)]
        rows.append([Mark(str(f.outcome)), f"{f.check}: {f.subject}", *figures, str(f.where) or "–", str(f.message)])
    caption = "Findings" if len(found) <= 12 else f"The first 12 of {len(found)} findings"
    head = ["outcome", "finding", "measured", "bound", "reference", "where", "in words"]
    return Table(caption, head, rows, numeric=("measured", "bound", "reference"))


def _sides(evidence: dict[str, dict[str, object]]) -> Text:
    parts = [f"{side}: {e['device']} ({e['status']}, environment {e['environment'] or 'unknown'})" for side, e in evidence.items()]
    return Text("; ".join(parts) or "nothing was recorded", "note")
