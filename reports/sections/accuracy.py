"""Task accuracy, paired by sample. Knows no other section."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.paired import holm, mcnemar, tango
from reports import figures
from reports.blocks import Block, Figure, Heading, Mark, Table, Text
from reports.frame import Frames, records
from reports.words import number, signed

ORDER, TITLE = 30, "Task accuracy"

_ABOUT = (
    "The same questions, answered on both sides and compared one by one. A task passes when the whole 95 % interval of the difference lies "
    "within the margin, and fails when the exact McNemar test finds a difference, at 5 % shared by all tasks that were asked together. "
    "Otherwise its samples cannot tell: that is inconclusive, and never counted as a pass."
)
_DOMAINS = "Domains are health, finance, education and manufacturing; of one without a row no task was run."


def render(frames: Frames) -> Sequence[Block]:
    """Return the differences as a picture and a table, what the samples can tell at all, domains, and how far log-likelihoods moved."""
    found = frames.found("accuracy", check="score")
    scores = found[found["subject"].ne("drift") & found["unit"].isin(["%", "bits per byte"]) & found["reference"].notna()]
    if found.empty:
        return []
    told = {
        case: e["told"]["score"]
        for case, e in zip(frames.verdicts["case"], frames.verdicts["evidence"], strict=True)
        if "score" in e.get("told", {})
    }
    blocks: list[Block] = [Text(_ABOUT), *_forest(told)]
    rows = [_score(f, told.get(f.case)) for f in records(scores)]
    head = ["task", "outcome", "difference", "margin", "candidate", "reference"]
    if rows:
        blocks.append(Table("Differences sample by sample, in points, and scores", head, rows, numeric=head[2:]))
        blocks.append(Text("In brackets: intervals of 95 %. b/B: bits per byte of a text, of which fewer are better.", "note"))
    blocks += [*_power(told), *_domains(told), *_drift(found)]
    return blocks


def _name(case: str) -> str:
    return case.removeprefix("accuracy/").removeprefix("asked/")


def _points(told: Mapping[str, Any]) -> bool:
    return str(told["metric"]) != "bits_per_byte"


def _shown(value: float | None, told: Mapping[str, Any]) -> str:
    """Return a difference in the task's unit: points of 100, or bits per byte."""
    if value is None:
        return "–"
    return signed(100 * value if _points(told) else value, _points(told))


def _forest(told: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    rows = [
        (_name(case), 100 * float(t["difference"]), 100 * float(t["low"]), 100 * float(t["high"]), 100 * float(t["margin"]))
        for case, t in told.items() if _points(t)
    ]  # fmt: skip
    if not rows:
        return []
    caption = "Candidate minus reference with its 95 % interval, in points; the shaded margin is what it must lie within to pass."
    svg = figures.forest(rows, "Differences of task scores with their intervals and margins", "points, candidate minus reference")
    return [Figure(svg, caption, wide=True, legend=False)]


def _score(finding: Any, told: Mapping[str, Any] | None) -> list[str | Mark]:
    head: list[str | Mark] = [_name(str(finding.case)), Mark(str(finding.outcome))]
    unit = "%" if finding.unit == "%" else "b/B"
    if told is None:
        return [*head, "–", "–", *(f"{number(value)} {unit}" for value in (finding.measured, finding.reference))]
    scale = 100 if _points(told) else 1
    sides = [
        f"{number(scale * mean)} {unit} [{number(scale * low)}, {number(scale * high)}]"
        for mean, low, high in (told["candidate"], told["reference"])
    ]
    difference = f"{_shown(told['difference'], told)} [{_shown(told['low'], told)}, {_shown(told['high'], told)}]"
    return [*head, difference, f"±{number(scale * told['margin'], 2)}", *sides]


def _power(told: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Say of each task how many samples speak, how likely that is by chance, and how small a difference they could have shown."""
    if not told:
        return []
    tested = [case for case, t in told.items() if t["p"] is not None]
    corrected = dict(zip(tested, holm([float(told[case]["p"]) for case in tested]), strict=True))
    rows: list[list[str | Mark]] = []
    for case, t in told.items():
        counts = [str(t.get(key, "–")) for key in ("n", "b", "c")]
        chances = [number(t["p"]), number(corrected.get(case))]
        rows.append([_name(case), *counts, *chances, _size(t["threshold"], t), _size(t["detectable"], t)])
    head = ["task", "samples", "lost", "gained", "p", "corrected", "shows from", "found 80 %"]
    text = (
        "What these samples can tell. Lost are those that only the reference has right, gained those that only the candidate has right; p "
        "is that of the exact McNemar test (of sign flips, where a score is no yes or no), corrected for the number of tasks by Holm's "
        "method. A difference below “shows from” is never significant here; a true loss as large as in the last column is found four times "
        "in five, at the discordance seen."
    )
    return [Text(text), Table("Samples that differ, and the smallest difference that shows", head, rows, numeric=head[1:])]


def _size(value: float | None, told: Mapping[str, Any]) -> str:
    if not value or value > 1:
        return "none" if _points(told) else "–"
    return f"{100 * value:.1f} points" if _points(told) else f"{number(value, 2)} b/B"


def _domains(told: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Pool the tasks of each domain that count right answers: together they can tell more than each alone.

    Of several cases of one task the largest counts: their samples are the same.
    """
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    largest = {t["task"]: case for case, t in sorted(told.items(), key=lambda item: int(item[1]["n"]))}
    for case, t in told.items():
        if largest[t["task"]] != case:
            continue
        for group in t.get("groups") or ():
            groups.setdefault(str(group), []).append((case, t))
    if not groups:
        return []
    rows: list[list[str | Mark]] = [[name, *_pooled(tasks)] for name, tasks in sorted(groups.items())]
    head = ["domain", "tasks", "samples", "difference, points", "p"]
    return [Heading("Domains"), Text(_DOMAINS), Table("Tasks of a domain taken together", head, rows, numeric=head[2:])]


def _pooled(tasks: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    names, counted = ", ".join(_name(case) for case, _ in tasks), [t for _, t in tasks if "b" in t]
    if not counted:
        return [names, "–", "no task with right answers", "–"]
    n, b, c = (sum(int(t[key]) for t in counted) for key in ("n", "b", "c"))
    found = tango(n, b, c, 0.95)
    span = f"[{_shown(found.low, counted[0])}, {_shown(found.high, counted[0])}]"
    return [names, str(n), f"{_shown(found.mean, counted[0])} {span}", number(mcnemar(b, c))]


def _drift(found: Any) -> list[Block]:
    rows: list[list[str | Mark]] = []
    for case, here in found[found["unit"] == "nats"].groupby("case", sort=False, observed=True):
        mean, largest = here[here["subject"] == "drift"], here[here["subject"] != "drift"]
        moved = next((f"{number(f.measured, 2)} [{number(f.low, 2)}, {number(f.high, 2)}]" for f in records(mean)), "–")
        rows.append([_name(str(case)), next((number(f.measured) for f in records(largest)), "–"), moved])
    if not rows:
        return []
    head = ["task", "largest", "mean over samples"]
    return [Table("How far log-likelihoods moved, in nats; it informs and has no bound", head, rows, numeric=head[1:])]
