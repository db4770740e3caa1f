"""Builds segments from plain lists, for tests of rules."""

from collections.abc import Sequence

import numpy as np

from harness.standards.segments import Output, Segments, lay_out


def output(candidate: Sequence[float], reference: Sequence[float], golden: Sequence[float], name: str = "out") -> Output:
    return Output(name, *(np.array(side, dtype=np.float64) for side in (candidate, reference, golden)))


def segments(candidate: Sequence[float], reference: Sequence[float], golden: Sequence[float]) -> Segments:
    return lay_out([output(candidate, reference, golden)])
