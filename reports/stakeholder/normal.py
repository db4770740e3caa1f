"""Is it normal? The verdict in a sentence, two figures, and counts by area. Knows no other section."""

from collections.abc import Sequence

import pandas as pd

from reports import phrases
from reports.blocks import Block, Mark, Table, Text, Tile, Tiles
from reports.frame import AREAS, OUTCOMES, Frames, records
from reports.phrases import Phrase, Words, joined, say
from reports.stakeholder.accuracy import gap, span
from reports.tasks import tasks
from reports.words import device, number

ORDER, TITLE = 0, "title-normal"
_TASKS = ("pass", "inconclusive", "waived", "fail")  # by how much a reader has to know of it
_NAMED = 5  # failing cases that a stakeholder is shown by name


def render(frames: Frames) -> Sequence[Block]:
    """Return banners, the verdict in a sentence, tiles, and counts by area."""
    lead = Text(joined([answer(frames), sentence(frames)]), "lead")
    return [*banners(frames), lead, Tiles(tiles(frames)), *_named(frames), _counts(frames)]


def banners(frames: Frames) -> list[Block]:
    """Return what must not be overlooked."""
    found: list[Block] = []
    if frames.emulated:
        found.append(Text(say("banner-emulated"), "banner"))
    for side in (frames.side("candidate"), frames.side("reference")):
        if faults := side.get("versions", {}).get("seeded_faults"):
            found.append(Text(say("banner-seeded", device=device(side), faults=faults), "banner"))
    if frames.comparison.get("self_comparison"):
        why = frames.comparison.get("self_reason") or say("self-unknown")
        found.append(Text(say("banner-self", why=why), "banner"))
    return found


def answer(frames: Frames) -> Phrase:
    """Say yes or no first, and neither where the run cannot tell: nothing passed, or no two devices were compared."""
    outcomes = set(frames.verdicts["outcome"])
    if outcomes & {"fail", "error"}:
        return say("answer-no")
    if len(frames.failing) or "pass" not in outcomes or frames.emulated or frames.comparison.get("self_comparison"):
        return say("answer-unknown")
    return say("answer-partly") if "waived" in outcomes else say("answer-yes")


def sentence(frames: Frames) -> Phrase:
    """Say in one sentence how it ended, claiming no more than was judged."""
    counts = frames.verdicts["outcome"].value_counts()
    total, failed, fixed = len(frames.verdicts), len(frames.failing), int(counts.get("fixed", 0))
    passed, waived, untold = (int(counts.get(name, 0)) for name in ("pass", "waived", "inconclusive"))
    apart = [say(f"apart-{name}", count=int(counts[name])) for name in ("waived", "inconclusive", "unsupported") if counts.get(name)]
    if failed:
        wrong, stale = say("verdict-wrong", count=failed - fixed, total=total), say("verdict-stale", count=fixed, total=total)
        what = say("verdict-both", first=wrong, second=stale) if 0 < fixed < failed else stale if fixed else wrong
        return joined([say("verdict-failed", what=what), *apart])
    if not passed:
        return joined([say("verdict-none-passed" if waived + untold else "verdict-nothing"), *apart])
    judged = passed + waived + untold
    key = "verdict-all" if passed == judged else "verdict-some"
    return joined([say(key, count=passed, total=judged, how=_passed(frames)), *apart])


def _passed(frames: Frames) -> Phrase:
    """Say what a pass means: in accuracy and performance there is no error bound to be within."""
    passed = frames.verdicts[frames.verdicts["outcome"] == "pass"]
    areas, probed = passed["area"].value_counts(), int(passed["case"].str.startswith("operators/fingerprint/").sum())
    tasks, timed = (int(areas.get(area, 0)) for area in ("accuracy", "performance"))
    told = (
        (int(areas.sum()) - tasks - timed - probed, "how-bounds"),
        (probed, "how-fingerprint"),
        (tasks, "how-tasks"),
        (timed, "how-memory" if frames.emulated else "how-timed"),
    )
    return joined([say(key, count=n) for n, key in told if n], comma=True)


def tiles(frames: Frames) -> list[Tile]:
    """Return how close the nearest error is to its bound, and the largest difference in a task."""
    return [_parity(frames), _accuracy(frames)]


def _parity(frames: Frames) -> Tile:
    name, none = say("parity"), say("not-measured")
    rows = frames.found("operators", "post_training", "inference")
    rows = rows[(rows["unit"] == "u") & rows["bound"].gt(0) & rows["measured"].notna()]
    if rows.empty:
        return Tile(name, none, say("parity-none"))
    rows = rows.assign(share=rows["measured"] / rows["bound"])
    rows = rows[rows["share"].le(1) | rows["outcome"].ne("pass")]  # what an appeal acquitted is beyond its first bound, and passes
    if rows.empty:
        return Tile(name, none, say("parity-appealed"))
    worst = next(records(rows.nlargest(1, "share")))
    if worst.share <= 1:
        if frames.comparison.get("self_comparison"):
            return Tile(name, none, say("parity-self", count=len(rows)))
        if frames.emulated:
            return Tile(name, none, say("parity-emulated", count=len(rows)))
    key = "closest-note" if worst.share <= 1 else "farthest-note"
    text = say(key, case=str(worst.case), subject=str(worst.subject), count=len(rows))
    ended = frames.verdicts.loc[frames.verdicts["case"] == worst.case, "outcome"].iloc[0]
    outcome = "pass" if worst.share <= 1 else "waived" if ended == "waived" else "fail"
    note = say("waived-note", text=text) if outcome == "waived" else text
    if worst.share > 1:
        return Tile(say("farthest"), say("times", times=number(worst.share)), note, outcome)
    return Tile(say("closest"), f"{number(worst.share * 100)} %", note, outcome)


def _accuracy(frames: Frames) -> Tile:
    """Return the task that is farthest off: one that differs before one that cannot tell, before one that is equal within its margin."""
    name, found = say("area-accuracy"), tasks(frames)
    if not found:
        return Tile(name, say("not-measured"), why_not(frames.area("accuracy")) or say("no-task"))
    worst = max(found, key=lambda task: (_TASKS.index(task.outcome) if task.outcome in _TASKS else len(_TASKS), task.used))
    untold = sum(task.outcome == "inconclusive" for task in found)
    note = say("accuracy-note", count=len(found), case=worst.name, interval=span(worst.difference, worst.unit))
    if untold:
        note = joined([note, say("accuracy-untold", count=untold)])
    if frames.comparison.get("self_comparison"):
        return Tile(name, gap(worst), say("one-device-note", text=note))
    if frames.emulated:
        return Tile(name, gap(worst), say("emulated-note", text=note))
    return Tile(name, gap(worst), note, worst.outcome)


def why_not(cases: pd.DataFrame) -> Words:
    """Say how cases that gave no figure ended; empty when there is none."""
    ended = [say("ended-as", case=str(r.case), outcome=phrases.outcome(str(r.outcome))) for r in records(cases.head(3))]
    return joined(ended, comma=True) if ended else ""


def _named(frames: Frames) -> list[Block]:
    """Return the first cases that fail the run, by name: who reads no further has to know which."""
    first = frames.failing.sort_values("case").head(_NAMED)
    rows: list[list[Words | Mark]] = [[str(r.case), Mark(str(r.outcome), phrases.outcome(str(r.outcome)))] for r in records(first)]
    left = len(frames.failing) - len(rows)
    caption = say("table-named-more", shown=len(rows), total=len(frames.failing)) if left else say("table-named")
    return [Table(caption, [say("head-case"), say("head-outcome")], rows)] if rows else []


def _counts(frames: Frames) -> Table:
    counts = frames.verdicts.groupby(["area", "outcome"]).size()
    present = set(frames.verdicts["outcome"])
    used = [o for o in OUTCOMES if o in ("pass", "fail") or o in present]
    rows: list[list[Words | Mark]] = []
    for area in AREAS:
        here = [int(counts.get((area, outcome), 0)) for outcome in used]
        shown: list[Words] = [str(n) if n else "·" for n in here] if sum(here) else [say("not-measured"), *[""] * (len(used) - 1)]
        rows.append([phrases.area(area), *shown])
    heads = [phrases.outcome(o) for o in used]
    return Table(say("table-counts"), [say("head-area"), *heads], rows, numeric=heads)
