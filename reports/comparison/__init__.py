"""Several Runs: two side by side, a series over time. Knows no section of a single run."""

from collections.abc import Sequence

from reports.blocks import Block
from reports.comparison import environments, outcomes, ratios, series
from reports.frame import Frames


def render(runs: Sequence[Frames]) -> list[tuple[str, Sequence[Block]]]:
    """Return titles and blocks: all runs by outcome, then what is new in B against A.

    Of two runs A is the first and B the second as they were given; of more, B is the newest and A the one before it.
    """
    before, after = runs if len(runs) == 2 else series.in_order(runs)[-2:]
    names = f"{before.name} (A) and {after.name} (B)"
    return [
        ("Runs side by side", outcomes.side_by_side(runs)),
        (f"What changed between {names}", outcomes.changed(before, after)),
        ("Cost and accuracy, B beside A", ratios.render(before, after)),
        ("Environments, B beside A", environments.render(before, after)),
        ("Series", series.render(runs)),
    ]


def trends(runs: Sequence[Frames]) -> Sequence[Block]:
    """Return what a stakeholder reads of a series."""
    return series.told(runs)
