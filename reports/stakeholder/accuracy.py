"""Does it answer as well? Each task's difference with its interval and margin, and the tasks that cannot tell. Knows no other section."""

from collections import Counter
from collections.abc import Sequence

from reports import phrases
from reports.blocks import Block, Mark, Table, Text
from reports.frame import Frames
from reports.phrases import Phrase, Words, joined, say
from reports.statistics import Estimate
from reports.tasks import POINTS, Task, tasks
from reports.words import number, signed

ORDER, TITLE = 10, "title-accuracy"
_ENDED = {"pass": "equal", "fail": "differs", "inconclusive": "cannot-tell"}


def render(frames: Frames) -> Sequence[Block]:
    """Return a sentence and a row a task; nothing where no task was run, which is told among what is not known."""
    found = sorted(tasks(frames), key=lambda task: (task.outcome == "pass", -task.used))
    if not found:
        return []
    head = [say(f"head-{name}") for name in ("task", "outcome", "difference", "interval", "margin", "candidate", "reference")]
    table = Table(say("table-accuracy"), head, [_row(task) for task in found], numeric=head[2:])
    return [Text(_sentence(found), "lead"), table, Text(say("accuracy-about"), "note")]


def _sentence(found: Sequence[Task]) -> Phrase:
    """Say how many tasks are shown to be equal, differ, or cannot tell; the last is said although it is no failure."""
    ended = Counter(task.outcome if task.outcome in _ENDED else "other" for task in found)
    how = joined([say(f"tasks-{name}", count=ended[name]) for name in (*_ENDED, "other") if ended[name]], comma=True)
    return say("accuracy-sentence", count=len(found), how=how)


def _row(task: Task) -> list[Words | Mark]:
    mark = Mark(task.outcome, say(_ENDED[task.outcome]) if task.outcome in _ENDED else phrases.outcome(task.outcome))
    sides = [f"{number(value)} {'%' if task.unit == POINTS else 'b/B'}" for value in (task.candidate.value, task.reference)]
    margin = "–" if task.margin is None else f"±{number(task.margin, 2)}"
    return [task.name, mark, gap(task), span(task.difference, task.unit), margin, *sides]


def gap(task: Task) -> Words:
    """Return the difference, candidate minus reference, with its unit."""
    shown = signed(task.difference.value, task.unit == POINTS)
    return say("points", gap=shown) if task.unit == POINTS else f"{shown} b/B"


def span(estimate: Estimate, unit: str) -> Words:
    """Return the 95 % interval of a difference; a dash where there is none."""
    if estimate.low is None or estimate.high is None:
        return say("dash")
    return say("interval", low=signed(estimate.low, unit == POINTS), high=signed(estimate.high, unit == POINTS))
