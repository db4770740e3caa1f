"""What is not known after this run, as a list: silence must never read as a pass. Knows no other section."""

from collections.abc import Iterator, Sequence

from reports import phrases
from reports.blocks import Block, Points
from reports.frame import AREAS, Frames
from reports.performance import rates, shown_as_performance
from reports.phrases import Phrase, joined, say

ORDER, TITLE = 40, "title-unknown"


def render(frames: Frames) -> Sequence[Block]:
    """Return the points, the weightiest first."""
    return [Points([*_devices(frames), *_left_out(frames), *_open(frames), *_method(frames)])]


def _devices(frames: Frames) -> Iterator[Phrase]:
    if frames.emulated:
        yield say("unknown-emulated")
    if frames.comparison.get("self_comparison"):
        yield say("unknown-self")


def _left_out(frames: Frames) -> Iterator[Phrase]:
    """Say which areas and how many cases were not run."""
    present = set(frames.verdicts["area"])
    if missing := [phrases.area(area) for area in AREAS if area not in present]:
        yield say("unknown-areas", areas=joined(missing, comma=True))
    if not frames.catalogue:
        yield say("unknown-catalogue")
    elif left := len(set(frames.catalogue) - set(frames.verdicts["case"])):
        yield say("unknown-cases", count=left)


def _open(frames: Frames) -> Iterator[Phrase]:
    counts = frames.verdicts["outcome"].value_counts()
    for name in ("inconclusive", "unsupported"):
        if count := int(counts.get(name, 0)):
            yield say(f"unknown-{name}", count=count)


def _method(frames: Frames) -> Iterator[Phrase]:
    if shown_as_performance(frames) and rates(frames):
        yield say("unknown-drift")
    yield say("unknown-blunt")
    figures = frames.mutation.get("figures")
    yield say("unknown-mutation", faults=figures["faults"], caught=figures["caught"]) if figures else say("unknown-mutation-none")
