"""Where the truth comes from, in the order of 5.3.1. Knows no operator."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

ORDER = ("the same function on the CPU or a third party", "a composition of small operators", "a hand-written CPU implementation")


class Source(NamedTuple):
    """A function that gives the golden, and which of `ORDER` it is."""

    function: Callable[..., Any]
    what: str


def first_source(candidates: Sequence[Callable[..., Any] | None]) -> Source:
    """Return the first that exists of the three sources, given in that order. Raises ValueError when there is none."""
    if len(candidates) != len(ORDER):
        raise ValueError(f"give all {len(ORDER)} sources, None for those that do not exist")
    for function, what in zip(candidates, ORDER, strict=True):
        if function is not None:
            return Source(function, what)
    raise ValueError("no golden: name the same function, a composition or a hand-written one")
