"""What failed, so that somebody can act: findings and their likely cause, the operator behind it, the commands. Knows no other section."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from reports.blocks import Block, Code, Fold, Heading, Mark, Table, Text
from reports.causes import meaning
from reports.frame import Frames, records
from reports.localised import Localised, Step
from reports.words import device, number

ORDER, TITLE = 10, "What did not pass"
_OPEN = 6  # verdicts that are shown open; more are folded behind an overview
_FULL = 40  # verdicts shown in full; a run with more has one cause
_FINDINGS = 12
_LOCALISABLE = ("fail", "error")


def render(frames: Frames) -> Sequence[Block]:
    """Return one part a failing verdict, behind an overview where there are many, then what cannot be told and what is unsupported."""
    failed = frames.findings["case"].isin(frames.failing["case"])
    frames = replace(frames, findings=frames.findings[failed])  # hundreds of thousands of others are looked through once
    failing = list(records(frames.failing.head(_FULL)))
    if len(frames.failing) > _OPEN:
        blocks = _overview(frames)
        blocks += [Fold(_summary(frames, row), _verdict(frames, row, explained=False)) for row in failing]
    else:
        blocks = [block for row in failing for block in (Heading(f"{row.case}: {row.outcome}"), *_verdict(frames, row))]
    rest = frames.failing.iloc[_FULL:]
    if len(rest):
        rows: list[list[str | Mark]] = [[str(r.case), Mark(str(r.outcome)), str(r.message)] for r in records(rest.head(500))]
        blocks.append(Fold(f"{len(rest)} more", [Table("More failing cases (the first 500)", ["case", "outcome", "message"], rows)]))
    for outcome, heading in (("inconclusive", "What its samples cannot tell"), ("unsupported", "Unsupported, in the device's own words")):
        apart = frames.verdicts[frames.verdicts["outcome"] == outcome]
        if len(apart):
            rows = [[str(r.case), str(r.message)] for r in records(apart.head(500))]
            blocks += [Heading(heading), Table("Never counted as a pass", ["case", "message"], rows)]
    return blocks


def _overview(frames: Frames) -> list[Block]:
    """Count the failing cases by likely cause and by the operator that was localised: many failures seldom have many causes."""
    causes: dict[str, set[str]] = {}
    for f in records(_failing_findings(frames)):
        if f.cause:
            causes.setdefault(str(f.cause), set()).add(str(f.case))
    cases = set(frames.failing["case"])
    causes = {cause: named & cases for cause, named in causes.items() if named & cases}
    if untold := cases - {case for named in causes.values() for case in named}:
        causes["not told by the error's shape"] = untold
    operators: dict[str, set[str]] = {}
    for case in cases:
        if (localised := frames.localised.get(case)) and localised.first:
            operators.setdefault(localised.first.operator, set()).add(case)
    each = "each is" if len(cases) <= _FULL else f"the first {_FULL} are"
    blocks: list[Block] = [Text(f"{len(cases)} cases. What they have in common comes first; {each} below, to be opened.")]
    blocks.append(_counted("By likely cause; a case can have several", "likely cause", causes))
    if explained := [Text(_explained(frames, cause)) for cause in causes if meaning(cause)]:
        blocks.append(Fold("What these causes mean, and where to look first", explained))
    if operators:
        blocks.append(_counted("By the first operator that is off by itself, where that was localised", "operator", operators))
    return blocks


def _counted(caption: str, what: str, named: dict[str, set[str]]) -> Table:
    ordered = sorted(named.items(), key=lambda item: (-len(item[1]), item[0]))
    rows: list[list[str | Mark]] = [[name, str(len(cases)), _some(cases)] for name, cases in ordered[:20]]
    return Table(caption, [what, "cases", "among them"], rows, numeric=("cases",))


def _some(cases: Iterable[str]) -> str:
    named = sorted(cases)
    return ", ".join(named[:2]) + (f" and {len(named) - 2} more" if len(named) > 2 else "")


def _summary(frames: Frames, row: Any) -> str:
    found = _failing_findings(frames)
    causes = sorted({str(f.cause) for f in records(found[found["case"] == row.case]) if f.cause})
    localised = frames.localised.get(str(row.case))
    operator = f", {localised.first.operator}" if localised and localised.first else ""
    return f"{row.case}: {row.outcome}" + (f" ({', '.join(causes)}{operator})" if causes or operator else "")


def _verdict(frames: Frames, row: Any, explained: bool = True) -> list[Block]:
    """Return everything about one failing verdict; causes are explained here unless that was done above."""
    case = str(row.case)
    localised = frames.localised.get(case)
    blocks: list[Block] = [Text(_compared(frames, row), "note"), Text(str(row.message))]
    if localised:
        blocks.append(Text(f"Localised: {localised.conclusion}."))
    if explained:
        found = _failing_findings(frames)
        named = [str(f.cause) for f in records(found[found["case"] == case]) if f.cause]
        named += [localised.first.cause] if localised and localised.first and localised.first.cause else []
        blocks += [Text(_explained(frames, cause)) for cause in dict.fromkeys(named) if meaning(cause)]
    blocks.append(_findings(frames, case))
    if localised:
        blocks += _where(localised)
    blocks += [Text("To repeat this case:", "note"), Code(str(row.reproduce))]
    if localised and localised.replay:
        blocks += [
            Text("To repeat that operator alone, with the operands that it had:", "note"),
            Code(f"python -m harness.replay '{localised.replay}'"),
        ]
    elif localised is None and row.outcome in _LOCALISABLE:
        blocks.append(Text("Add --localise to that command to find the first operator that is off by itself.", "note"))
    return [*blocks, _sides(row.evidence)]


def _compared(frames: Frames, row: Any) -> str:
    sides = [device(frames.side(side)) for side in ("candidate", "reference")]
    golden = ", and a float64 evaluation on the host" if "golden" in row.evidence else ""
    return f"{sides[0]} compared with {sides[1]}{golden}; {row.area.replace('_', ' ')}, {row.dtype}"


def _explained(frames: Frames, cause: str) -> str:
    known = meaning(cause)
    assert known
    return f"Likely cause: {cause}. {known.says}" + (f" Look first at: {known.ascend}" if _ascend(frames) else "")


def _ascend(frames: Frames) -> bool:
    return bool(frames.side("candidate").get("kind") == "npu")


def _failing_findings(frames: Frames) -> pd.DataFrame:
    return frames.findings[~frames.findings["outcome"].isin(("pass", "inconclusive", "waived", "unsupported"))]


def _findings(frames: Frames, case: str) -> Table:
    rows: list[list[str | Mark]] = []
    found = frames.findings[(frames.findings["case"] == case) & (frames.findings["outcome"] != "pass")]
    for f in records(found.head(_FINDINGS)):
        figures = [f"{number(v)} {f.unit}" if v == v else "–" for v in (f.measured, f.bound, f.reference)]
        # a message that gives the same figures again would only make the table wide
        words = "" if f.bound == f.bound and " allowed " in str(f.message) else str(f.message)
        rows.append([Mark(str(f.outcome)), f"{f.check}: {f.subject}", *figures, str(f.cause) or "–", str(f.where) or "–", words])
    caption = f"Findings on {case}" if len(found) <= _FINDINGS else f"The first {_FINDINGS} of {len(found)} findings on {case}"
    head = ["outcome", "finding", "measured", "bound", "reference", "likely cause", "where", "in words"]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return Table(caption, head, rows, numeric=("measured", "bound", "reference"))


def _where(localised: Localised) -> list[Block]:
    """Return what localising found beside its conclusion: the worst operators, the growth from module to module."""
    blocks: list[Block] = []
    if localised.first:
        blocks.append(Text(f"Operands of {localised.first.operator}: {localised.first.operands}.", "note"))
    if localised.worst:
        head = ["operator", "where", "candidate", "allowed", "reference", "times allowed", "likely cause"]
        rows: list[list[str | Mark]] = [_step(step) for step in localised.worst[:10]]
        if localised.first and localised.first not in localised.worst[:10]:
            rows.append(_step(localised.first))
        caption = "Operators by error, each fed the reference's own operands: the worst first"
        caption += ", and last the one that ran first" if len(rows) > len(localised.worst[:10]) else ""
        blocks.append(Table(caption, head, rows, numeric=("candidate", "allowed", "reference", "times allowed")))
    if localised.growth:
        grown: list[list[str | Mark]] = [
            [row.path, *(f"{number(v)} u" if v == v else "–" for v in (row.candidate, row.reference, row.between))]
            for row in localised.growth
        ]
        head = ["module", "candidate", "reference", "between the two"]
        table = Table("Distance of each module's output from float64 (relative rms) when both sides run freely", head, grown, head[1:])
        blocks.append(Fold(_begins(localised), [table]))
    return blocks


def _step(step: Step) -> list[str | Mark]:
    figures = [f"{number(v)} {step.unit}" if v == v else "–" for v in (step.measured, step.bound, step.reference)]
    ratio = f"{number(step.ratio)} ×" if step.ratio == step.ratio else "–"
    return [step.operator, step.place, *figures, ratio, step.cause or "–"]


def _begins(localised: Localised) -> str:
    """Say where the two sides part when they run freely."""
    text = f"From module to module ({len(localised.growth)} modules), both sides running freely: "
    parted = next((row.path for row in localised.growth if row.between > 0), "")
    if not parted:
        return text + "they give the same, bit by bit"
    if all(row.candidate != row.candidate for row in localised.growth):  # no float64 run
        return text + f"they part at {parted}"
    beyond = next((row.path for row in localised.growth if row.candidate > 2 * row.reference), "")
    far = f"beyond twice the reference's error from {beyond} on" if beyond else "never beyond twice the reference's error"
    return f"{text}they part at {parted}; {far}"


def _sides(evidence: dict[str, dict[str, object]]) -> Text:
    sides = {side: e for side, e in evidence.items() if "device" in e}
    parts = [f"{side}: {e['device']} ({e['status']}, environment {e['environment'] or 'unknown'})" for side, e in sides.items()]
    return Text("; ".join(parts) or "nothing was recorded", "note")
