"""The first page: what was compared with what, how it ended, and four figures. Knows no other section."""

from collections.abc import Sequence

import pandas as pd

from reports.blocks import Block, Mark, Table, Text, Tile, Tiles
from reports.frame import AREAS, OUTCOMES, Frames, records
from reports.performance import rates, shown_as_performance
from reports.words import PEAKS, device, interval, moment, number, size

ORDER, TITLE = 0, "Summary"

_NAMES = {
    "operators": "Operators",
    "post_training": "Post-training",
    "inference": "Inference",
    "accuracy": "Task accuracy",
    "performance": "Performance",
}


def render(frames: Frames) -> Sequence[Block]:
    """Return banners, the verdict in a sentence, tiles, and counts by area."""
    return [*banners(frames), Text(sentence(frames), "lead"), Text(_compared(frames)), Tiles(tiles(frames)), _counts(frames)]


def banners(frames: Frames) -> list[Block]:
    """Return what must not be overlooked."""
    found: list[Block] = []
    if frames.emulated:
        found.append(
            Text(
                "EMULATED. A side ran on a stand-in for the device: this shows that the path works, never a device's numerics or speed.",
                "banner",
            )
        )
    for side in (frames.side("candidate"), frames.side("reference")):
        if faults := side.get("versions", {}).get("seeded_faults"):
            found.append(Text(f"SEEDED FAULTS. {device(side)} was made to be wrong on purpose: {faults}.", "banner"))
    if frames.comparison.get("self_comparison"):
        why = frames.comparison.get("self_reason") or "both sides are one device"
        found.append(
            Text(
                f"Not a comparison between devices: {why}. It shows that the path works, and how far each result is from float64.", "banner"
            )
        )
    return found


def sentence(frames: Frames) -> str:
    """Say in one sentence how it ended, claiming no more than was judged."""
    total, failed = len(frames.verdicts), len(frames.failing)
    passed, waived, refused, fixed = (int((frames.verdicts["outcome"] == o).sum()) for o in ("pass", "waived", "unsupported", "fixed"))
    apart = _apart(waived, refused)
    if failed:
        wrong = [f"{failed - fixed} of {total} cases did not pass"] if failed > fixed else []
        stale = [f"{fixed} of {total} passed though a waiver says that it fails"] if fixed else []
        return f"{' and '.join(wrong + stale)}; they are shown in full below.{apart}"
    if not passed:
        return f"{'None of the cases that could be judged passed' if waived else 'Nothing was judged'}.{apart}"
    count = f"{passed} of {passed + waived}" if waived else f"All {passed}"
    return f"{count} cases that could be judged passed: {_passed(frames)}.{apart}"


def _apart(waived: int, refused: int) -> str:
    """Say how many are no pass and no failure of the run."""

    def are(count: int) -> str:
        return f"{count} {'is' if count == 1 else 'are'}"

    signed = f" {are(waived)} waived: known to fail, signed for and counted apart." if waived else ""
    return signed + (f" {are(refused)} unsupported by the device and counted apart." if refused else "")


def _passed(frames: Frames) -> str:
    """Say what a pass means: in accuracy and performance there is no error bound to be within."""
    passed = frames.verdicts[frames.verdicts["outcome"] == "pass"]
    areas, probed = passed["area"].value_counts(), int(passed["case"].str.startswith("operators/fingerprint/").sum())
    tasks, timed = (int(areas.get(area, 0)) for area in ("accuracy", "performance"))
    told = (
        (int(areas.sum()) - tasks - timed - probed, "within error bounds"),
        (probed, "with no promise of arithmetic broken"),
        (tasks, "without a difference beyond chance in a task"),
        (timed, "run for their memory" if frames.emulated else "timed"),
    )
    return ", ".join(f"{n} {what}" for n, what in told if n)


def _compared(frames: Frames) -> str:
    kind = frames.comparison.get("reference_kind")
    source = (
        f"a run recorded {moment(frames.comparison.get('reference_created'))}"
        if kind == "recorded"
        else "run beside it in the same machine"
    )
    text = f"Candidate: {device(frames.side('candidate'))}. Reference: {device(frames.side('reference'))}, {source}."
    model = frames.comparison.get("model")
    named = "the embedded SmolLM2-135M-Instruct" if model == "default" else str(model)
    return f"{text} Language model: {named}. Run {frames.name}, begun {moment(frames.created)}." if model else text


def tiles(frames: Frames) -> list[Tile]:
    """Return the four figures that a stakeholder takes home; 'not measured' where an area was not run."""
    return [_parity(frames), _accuracy(frames), *_speed(frames), _memory(frames)]


def _parity(frames: Frames) -> Tile:
    rows = frames.found("operators", "post_training", "inference")
    rows = rows[(rows["unit"] == "u") & rows["bound"].gt(0) & rows["measured"].notna()]
    if rows.empty:
        return Tile("Numerical parity", "not measured", "no case was judged against float64")
    rows = rows.assign(share=rows["measured"] / rows["bound"])
    rows = rows[rows["share"].le(1) | rows["outcome"].ne("pass")]  # what an appeal acquitted is beyond its first bound, and passes
    if rows.empty:
        return Tile("Numerical parity", "not measured", "no figure stayed without an appeal")
    worst = next(records(rows.sort_values("share", ascending=False)))
    if frames.comparison.get("self_comparison") and worst.share <= 1:
        note = f"{len(rows)} figures were judged, but a device that repeats itself is within twice its own error"
        return Tile("Numerical parity", "not measured", note)
    if frames.emulated and worst.share <= 1:
        note = f"{len(rows)} figures were judged and none is beyond its bound, but an emulated device computes on the CPU"
        return Tile("Numerical parity", "not measured", note)
    text = f"{worst.case}, {worst.subject}; 100 % is the limit; {len(rows)} figures judged"
    ended = frames.verdicts.loc[frames.verdicts["case"] == worst.case, "outcome"].iloc[0]
    outcome = "pass" if worst.share <= 1 else "waived" if ended == "waived" else "fail"
    return Tile("Closest to its error bound", f"{number(worst.share * 100)} %", f"WAIVED; {text}" if outcome == "waived" else text, outcome)


def _accuracy(frames: Frames) -> Tile:
    rows = frames.found("accuracy", check="score")
    rows = rows[rows["unit"] == "%"]
    if rows.empty:
        return Tile("Task accuracy", "not measured", _why_not(frames.area("accuracy")) or "no task was run")
    gap = rows["measured"] - rows["reference"]
    worst = next(records(rows.assign(gap=gap, size=gap.abs()).sort_values("size", ascending=False)))
    value = f"{worst.gap:+.1f} points" if worst.gap else "no difference seen"
    note = f"largest of {len(rows)} tasks, in {worst.case}; how small a difference they could show: Task accuracy"
    apart = "" if not frames.emulated else "EMULATED; "
    apart = "one device; " if frames.comparison.get("self_comparison") else apart
    return Tile("Task accuracy", value, f"{apart}{note}", "" if apart else str(worst.outcome))


def _speed(frames: Frames) -> list[Tile]:
    if not shown_as_performance(frames):
        return [Tile("Throughput", "not shown", "an emulated device's times say nothing about a device")]
    found = []
    timed = sorted(rates(frames), key=lambda r: bool(r.wrong))
    for label, name in (("Training", "sft-step"), ("Decoding", "decode")):
        row = next((r for r in timed if r.case.startswith(f"performance/{name}[")), None)
        if row is None:
            cases = frames.area("performance")
            why = _why_not(cases[cases["case"].str.startswith(f"performance/{name}[")])
            found.append(Tile(f"{label} throughput", "not measured", why or "no such case was run"))
        elif row.wrong:
            found.append(Tile(f"{label} throughput", "not shown", f"it did not pass: {row.wrong}", "fail"))
        else:
            beside = f"; {number(row.ratio.value)} × the reference" if row.ratio and not frames.comparison.get("self_comparison") else ""
            note = f"{row.dtype}, 95 %: {interval(row.ours)}{beside}"
            found.append(Tile(f"{label} throughput", f"{number(row.ours.value)} {row.unit}/s", note))
    return found


def _why_not(cases: pd.DataFrame) -> str:
    """Say how cases that gave no figure ended; empty when there is none."""
    return "; ".join(f"{r.case} ended as {r.outcome}" for r in records(cases.head(3)))


def _memory(frames: Frames) -> Tile:
    """Return the largest peak in the best figure that the candidate has: tensors before allocator before process."""
    known = [
        (e["candidate"]["memory"], case)
        for case, e in zip(frames.verdicts["case"], frames.verdicts["evidence"], strict=True)
        if "candidate" in e
    ]
    for figure, name in PEAKS.items():
        value, case = max(((memory[figure], case) for memory, case in known if memory.get(figure)), default=(0, ""))
        if value:
            return Tile("Peak memory", size(value), f"{name}, in {case}{'; EMULATED' if frames.emulated else ''}")
    return Tile("Peak memory", "not measured", "the device gave no figure")


def _counts(frames: Frames) -> Table:
    counts = frames.verdicts.groupby(["area", "outcome"]).size()
    used = [o for o in OUTCOMES if o in ("pass", "fail") or (frames.verdicts["outcome"] == o).any()]
    rows: list[list[str | Mark]] = []
    for area in AREAS:
        here = [int(counts.get((area, outcome), 0)) for outcome in used]
        rows.append(
            [_NAMES[area], *(str(n) if n else "·" for n in here)] if sum(here) else [_NAMES[area], "not measured", *[""] * (len(used) - 1)]
        )
    return Table("Cases by area and outcome", ["area", *used], rows, numeric=used)
