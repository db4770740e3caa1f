"""When is a difference an alarm? The numbers that the gate goes by, and what it says. Knows no figure and no statistic."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What the gate says of one metric, task or case in one night."""

    STEADY = "steady"
    UNKNOWN = "cannot tell"  # too few good nights to compare with
    SUSPECTED = "suspected"  # worse, and not yet proved: the following nights tell
    CLEARED = "cleared"  # was suspected, and its repeats in the same night are not worse
    CONFIRMED = "confirmed"  # a regression


@dataclass(frozen=True)
class Rules:
    """How sure, how large, how often.

    `level` is the probability that the p-values of any of a night's times and memory figures alarm by chance (Holm), `accuracy` that of
    its tasks; the other conditions make it far less (docs/nightly.md has what was measured). What is beyond `suspicion`, uncorrected, is
    run `repeats` times more. `windows` are the numbers of latest nights that are held together against the `least` to `most` good nights
    before them. `rank` is the level at which the rank test has to agree, `size` the least effect size, in what nights differ by. `points`
    is the smallest loss of accuracy, as a fraction.
    """

    level: float = 0.02
    accuracy: float = 0.05 / 30
    suspicion: float = 0.01
    rank: float = 0.01
    size: float = 3.0
    repeats: int = 3
    windows: tuple[int, ...] = (1, 2, 3, 5, 8)
    least: int = 14
    most: int = 30
    points: float = 0.005


@dataclass(frozen=True)
class Size:
    """The smallest change of a metric that matters, and the one that its repeats prove within a night, both as fractions.

    Nights differ as wholes (temperature, a neighbour), and repeats in the same night share that. So a night alone proves only what is
    larger than nights differ; what is smaller waits for a second night. An allocator has no bad nights.
    """

    matters: float
    alone: float


_SIZES: Mapping[str, Size] = {"seconds": Size(0.02, 0.20), "peak": Size(0.01, 0.01)}
_OTHER_TIMES = Size(0.03, 0.30)  # a percentile, a time to first token: one figure a run


def size_of(metric: str) -> Size | None:
    """Return what sizes count for a metric; None for one that is followed and raises no alarm: errors have verdicts, ratios two causes."""
    if metric in _SIZES:
        return _SIZES[metric]
    return None if metric.startswith("error ") or metric in ("ratio", "reference seconds") else _OTHER_TIMES


@dataclass(frozen=True)
class Ruling:
    """What the gate says of one metric of a case, its task's accuracy or its outcome, in one night.

    `effect` is how much worse it is, as a fraction (accuracy: as a fraction of the samples), with its 95 % interval; `p` is corrected for
    all of the family. `since` is the first night of the change, `nights` how many it has lasted, `repeats` how often it was run again
    this night. `causes` are what changed on the machine with that night.
    """

    name: str
    case: str
    state: State
    text: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    since: str = ""
    nights: int = 0
    repeats: int = 0
    causes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {**asdict(self), "state": str(self.state)}
