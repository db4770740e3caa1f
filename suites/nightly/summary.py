"""What a night says on one screen. Knows no rule and no file."""

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.history.changes import changes
from harness.history.rules import Ruling, State
from suites.nightly.job import Result

_SHOWN = 12  # lines of a kind


def lines(result: Result) -> Iterator[str]:
    """Yield the lines, most important last, where a screen shows them."""
    figures, states = result.figures, Counter(ruling.state for ruling in result.rulings)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in Counter(figures.outcomes.values()).most_common())
    yield f"night {figures.created} on {figures.hardware}{', emulated: no time is judged' if figures.emulated else ''}: {counts}"
    followed = ", ".join(f"{n} {state}" for state, n in states.most_common()) or "outcomes only"
    yield f"followed: {followed}; {len(result.past)} nights before it"
    yield from _some("trouble: ", result.troubles)
    yield from _some("stepped: ", [change.text() for change in changes([*(n.figures for n in result.past), figures])][-_SHOWN:])
    yield from _some("suspected: ", [_told(r) for r in result.rulings if r.state is State.SUSPECTED])
    yield f"stored: {result.entry.id}"
    yield f"report: {result.page}"
    yield from _some("REGRESSION: ", [_told(ruling) for ruling in result.confirmed()])
    yield f"night: {len(result.confirmed())} confirmed regressions" if result.confirmed() else f"night: good{_unknown(result)}"


def _unknown(result: Result) -> str:
    if not result.past:
        return ", as far as it can tell: there is no earlier night of this machine"
    unknown = sum(ruling.state is State.UNKNOWN for ruling in result.rulings)
    return f"; {unknown} figures have too few nights to tell" if unknown else ""


def _told(ruling: Ruling) -> str:
    chance = f", p={ruling.p:.2g} for all figures together" if ruling.p is not None else ""
    came = f"; with it came {'; '.join(ruling.causes)}" if ruling.causes else ""
    came = came or ("; nothing known changed with it" if ruling.state is State.CONFIRMED else "")
    return f"{ruling.name}: {ruling.text}{chance}; since {ruling.since[:10]}, {ruling.repeats} repeats{came}"


def _some(head: str, texts: Sequence[str]) -> Iterator[str]:
    yield from (f"{head}{text}" for text in texts[:_SHOWN])
    if len(texts) > _SHOWN:
        yield f"{head}and {len(texts) - _SHOWN} more"
