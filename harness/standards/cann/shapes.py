"""Which cases a level has (2): shape, distribution and attributes of the i-th, and how many there are. Draws no values.

Everything about case i follows from (level, i), so that any slice of the 5,000, 10,000 or 30,000 can be run alone, anywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.inputs import draw_bits
from harness.standards.cann.thresholds import LEVELS

CELLS = 4096  # elements a tensor may have: the text allows 2^31, which no run of thousands of cases affords
RANKS = (1, 2, 3, 4, 5, 6, 7, 8)

# One cycle of distributions, in the shares of the text and mixed, so that the first few cases already show all kinds.
_CYCLES = {
    "L0": ("uniform", "normal"),
    "L1": ("normal", "uniform", "outliers", "tiny", "normal", "uniform", "normal", "outliers", "uniform", "normal"),
    "community": ("uniform", "mild"),
}
_CYCLES["L2"] = _CYCLES["L1"]


@dataclass(frozen=True)
class Spec:
    """One case: the shape of its first operand, how values are distributed, and which combination of attributes it takes.

    `model` marks a case whose shape is to come from a real model (L2: one in three).
    """

    index: int
    shape: tuple[int, ...]
    distribution: str
    attributes: int
    model: bool = False

    @property
    def name(self) -> str:
        """What its outputs are filed under."""
        return f"case{self.index:05d}"


def count_per_dtype(level: str, dtypes: int) -> int:
    """Return how many cases each of an operator's dtypes needs, so that both the level's total and its minimum a dtype are met."""
    wanted = LEVELS[level]
    return max(wanted.cases_per_dtype, -(-wanted.cases // dtypes))


def spec(level: str, index: int, ranks: Sequence[int] = RANKS, combinations: int = 1, cells: int = CELLS) -> Spec:
    """Return case `index` of a level ("L0", "L1", "L2", "community") for an operator that takes these ranks.

    Distribution, rank and combination of attributes are crossed: after `len(cycle) * len(ranks) * combinations` cases every triple
    has been met. Sizes: multiples of 15 and 16 (L0), any (L1, L2), powers of two and one less (community).
    """
    cycle = _CYCLES[level]
    turn, place = divmod(index, len(cycle))
    rank = ranks[(place + turn) % len(ranks)]
    attributes = (turn // len(ranks) + place) % combinations
    sizes = _sizes(level, index, rank, cells)
    return Spec(index, sizes, cycle[place], attributes, model=level == "L2" and index % 3 == 2)


def _sizes(level: str, index: int, rank: int, cells: int) -> tuple[int, ...]:
    """Draw sizes in random order, each from what the others leave of `cells`; a share of the logarithm for each, so none starves."""
    words = draw_bits(0, f"shape {level} {rank}", 2 * rank, 2 * rank * index)
    order = np.argsort(words[:rank], kind="stable")
    sizes, left = [1] * rank, cells
    for place, dim in enumerate(order.tolist()):
        share = 1.0 / (rank - place)
        most = max(1, int(left ** min(1.0, share * 1.5)))
        choices = _choices(level, most)
        sizes[dim] = choices[int(words[rank + place]) % len(choices)]
        left //= sizes[dim]
    return tuple(sizes)


def _choices(level: str, most: int) -> Sequence[int]:
    if level == "L0":
        stepped = sorted({step * k for step in (15, 16) for k in range(1, most // step + 1)})
        return stepped or [1]
    if level == "community":
        powers = [2**k for k in range(max(1, most).bit_length())]
        return sorted({*powers, *(p - 1 for p in powers if p > 1)})
    return range(max(1, most // 4), most + 1)


def elements(specs: Sequence[Spec]) -> int:
    """Return how many elements the first operands of these cases have together."""
    return sum(math.prod(s.shape) for s in specs)
