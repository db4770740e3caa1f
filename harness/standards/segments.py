"""Many outputs laid end to end, so that one pass of arithmetic measures them all. Knows no rule."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_GROUP = 1 << 18  # elements that are measured together: the temporaries stay small, and a large output goes alone


class Output(NamedTuple):
    """One output as three sides have it: arrays of one shape, at least one element each."""

    name: str
    candidate: np.ndarray
    reference: np.ndarray
    golden: np.ndarray


class Segments(NamedTuple):
    """`outputs` float64 [2, n] (candidate, reference), `golden` float64 [n], and where each named output starts in them."""

    names: tuple[str, ...]
    outputs: np.ndarray
    golden: np.ndarray
    starts: np.ndarray

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Return the maximum of each segment along the last axis."""
        return np.asarray(np.maximum.reduceat(values, self.starts, axis=-1))

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of each segment along the last axis; of booleans, how many are true."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=-1, dtype=np.int64 if values.dtype == bool else np.float64))


def lay_out(outputs: Sequence[Output]) -> Segments:
    """Lay outputs end to end; none may be empty."""
    sizes = [output.golden.size for output in outputs]
    starts = np.zeros(len(sizes), dtype=np.intp)
    np.cumsum(sizes[:-1], out=starts[1:])
    both = np.empty((2, sum(sizes)))
    np.concatenate([output.candidate.reshape(-1) for output in outputs], out=both[0], casting="same_kind")
    np.concatenate([output.reference.reshape(-1) for output in outputs], out=both[1], casting="same_kind")
    golden = np.concatenate([output.golden.reshape(-1) for output in outputs], dtype=np.float64)
    return Segments(tuple(output.name for output in outputs), both, golden, starts)


def in_groups(outputs: Sequence[Output]) -> list[list[Output]]:
    """Split outputs, in order, into groups that are small enough to be measured together."""
    groups: list[list[Output]] = []
    size = _GROUP
    for output in outputs:
        if size + output.golden.size > _GROUP:
            groups.append([])
            size = 0
        groups[-1].append(output)
        size += output.golden.size
    return groups
