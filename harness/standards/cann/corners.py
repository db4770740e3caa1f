"""The special cases of the standard (2.1), which count apart: empty, all-one, huge and scalar shapes, and inputs of NaN and infinity.

Arguments that must be refused belong to an operator, and stand with it. Knows no operator.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.standards.cann.shapes import RANKS

HUGE = 2**31 + 1  # one past what 32 bits index; the text, as far as we could read it, says 2^31
FILLS: dict[str, tuple[float, ...]] = {"nan": (math.nan,), "inf": (math.inf,), "-inf": (-math.inf,), "mixed": (-math.inf, math.inf)}
_FILLED = 4  # shapes of each fill


@dataclass(frozen=True)
class Corner:
    """One special case: a name, a shape, and the values that fill it in turn (none: drawn as usual)."""

    name: str
    shape: tuple[int, ...]
    fill: tuple[float, ...] = ()

    def bytes(self, itemsize: int) -> int:
        """Return what the tensor takes with elements of `itemsize` bytes. A huge one takes 4 to 8 GiB, and 16 as a golden."""
        return math.prod(self.shape) * itemsize

    def filled(self) -> np.ndarray:
        """Return the values as float64 [n], for a corner that has a fill."""
        return np.resize(np.array(self.fill), math.prod(self.shape))


def corners(ranks: Sequence[int] = RANKS) -> Iterator[Corner]:
    """Yield the special cases of an operator that takes these ranks: for each rank r, r empty and r huge shapes and one of ones."""
    for rank in ranks:
        for dim in range(rank):
            yield Corner(f"empty-{rank}d-{dim}", tuple(0 if d == dim else 2 for d in range(rank)))
        yield Corner(f"ones-{rank}d", (1,) * rank)
        for dim in range(rank):
            yield Corner(f"huge-{rank}d-{dim}", tuple(HUGE if d == dim else 1 for d in range(rank)))
    if 1 in ranks:
        yield Corner("scalar", (1,))
    for name, fill in FILLS.items():
        for i in range(_FILLED):
            yield Corner(f"{name}-{i}", tuple(3 + (i + 2 * d) % 5 for d in range(ranks[i % len(ranks)])), fill)
