"""What B costs and how well it answers beside A: the candidates of both runs, with intervals. Knows no outcome but pass."""

from collections.abc import Iterator, Mapping

from harness.change import Taken, Told, between
from reports.blocks import Block, Table, Text
from reports.frame import Frames, records
from reports.performance import rates, shown_as_performance
from reports.phrases import Words
from reports.tasks import POINTS, Task, tasks
from reports.words import PEAKS, interval, number, signed, size


def render(before: Frames, after: Frames) -> list[Block]:
    """Return the ratios of speed and of memory, and the differences in tasks, of cases that both runs have."""
    return [*_speed(before, after), *_memory(before, after), *_accuracy(before, after)]


def _speed(before: Frames, after: Frames) -> list[Block]:
    if not (shown_as_performance(before) and shown_as_performance(after)):
        timed = rates(before) or rates(after)
        return [Text("A side of a run was emulated: its times are not compared.", "banner")] if timed else []
    old = {r.case: r for r in rates(before) if not r.wrong}
    seconds = [_seconds(frames) for frames in (before, after)]
    rows: list[list[Words]] = []
    for r in rates(after):
        if r.wrong or r.case not in old:
            continue
        both = between(seconds[1][r.case], seconds[0][r.case])
        value = f"{number(both.ratio.value)} ×" if both.told in (Told.FASTER, Told.SLOWER) else str(both.told)
        rows.append(
            [r.case.removeprefix("performance/"), f"{number(old[r.case].ours.value)} {r.unit}/s", f"{number(r.ours.value)} {r.unit}/s",
             value, interval(both.ratio)]
        )  # fmt: skip
    head = ["case", "A", "B", "B to A", "95 % interval"]
    note = "An interval covers the scatter between rounds, not the drift of a machine between two runs."
    return [Table("Speed of the candidates", head, rows, numeric=head[1:]), Text(note, "note")] if rows else []


def _seconds(frames: Frames) -> dict[str, Taken]:
    rows = records(frames.area("performance"))
    sides = ((str(row.case), row.evidence.get("candidate", {})) for row in rows)
    return {case: Taken(side.get("seconds", ()), side.get("timing", {})) for case, side in sides}


def _memory(before: Frames, after: Frames) -> list[Block]:
    old, new = _peaks(before), _peaks(after)
    changed = [(after_ / old[key], key, old[key], after_) for key, after_ in new.items() if old.get(key) and after_ and after_ != old[key]]
    rows: list[list[Words]] = [
        [case, PEAKS[figure], size(was), size(now), f"{number(by)} ×"]
        for by, (case, figure), was, now in sorted(changed, reverse=True)[:100]
    ]
    head = ["case", "what", "A", "B", "B to A"]
    kept = sum(bool(old.get(key)) for key in new) - len(changed)
    caption = f"Peak memory of the candidates where it differs; {kept} figures are the same"
    return [Table(caption, head, rows, numeric=head[2:])] if rows else []


def _peaks(frames: Frames) -> Mapping[tuple[str, str], float]:
    """Return the best figure of each case beyond single operators."""
    return dict(_best(frames))


def _best(frames: Frames) -> Iterator[tuple[tuple[str, str], float]]:
    for row in records(frames.area("post_training", "inference", "performance")):
        memory = row.evidence.get("candidate", {}).get("memory", {})
        figure = next((name for name in PEAKS if memory.get(name)), "")
        if figure:
            yield (str(row.case), figure), memory[figure]


def _accuracy(before: Frames, after: Frames) -> list[Block]:
    old = {task.case: task for task in tasks(before)}
    rows: list[list[Words]] = []
    for task in tasks(after):
        if task.case in old and task.unit == old[task.case].unit:
            moved = task.candidate.value - old[task.case].candidate.value
            rows.append([task.name, _score(old[task.case]), _score(task), f"{signed(moved, task.unit == POINTS)} {task.unit}"])
    head = ["task", "A (95 %)", "B (95 %)", "difference"]
    return [Table("Scores of the candidates", head, rows, numeric=head[1:])] if rows else []


def _score(task: Task) -> str:
    unit = "%" if task.unit == POINTS else task.unit
    return f"{number(task.candidate.value)} {unit} ({number(task.candidate.low)} to {number(task.candidate.high)})"
