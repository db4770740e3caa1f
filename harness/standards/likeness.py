"""Rules that compare a device with another device, without a golden: torch.testing.assert_close and cosine similarity. Knows no case."""

import math

import numpy as np

from harness.standards.cann.floating import Said
from harness.standards.segments import Segments

#: rtol and atol of torch.testing.assert_close by dtype (torch/testing/_comparison.py); integers must be equal.
CLOSE = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}


def assert_close(segments: Segments, dtype: str) -> list[Said]:
    """Say of each output (all of `dtype`, a key of CLOSE) whether |d - r| <= atol + rtol |r| everywhere; NaN equals nothing."""
    rtol, atol = CLOSE[dtype]
    ours, theirs = segments.outputs
    with np.errstate(invalid="ignore", over="ignore"):
        close = (ours == theirs) | (np.isfinite(theirs) & (np.abs(ours - theirs) <= atol + rtol * np.abs(theirs)))
    apart = segments.total(~close)
    sizes = np.diff(np.append(segments.starts, segments.golden.size))
    return [
        Said(name, "fail" if bad else "pass", f"{bad} of {of} elements mismatch" if bad else "", "mismatched", bad / of, 1.0)
        for name, bad, of in zip(segments.names, apart.tolist(), sizes.tolist(), strict=True)
    ]


def cosines(segments: Segments) -> list[float]:
    """Return the cosine of each output with the reference's; 1 where both are all zero, NaN where a value is."""
    ours, theirs = segments.outputs
    with np.errstate(invalid="ignore", over="ignore"):
        product, squares = segments.total(ours * theirs), segments.total(segments.outputs * segments.outputs)
        norms = np.sqrt(squares[0]) * np.sqrt(squares[1])
        alike = np.where((squares == 0).all(axis=0), 1.0, product / np.where(norms == 0, 1.0, norms))
    return [float(value) for value in alike]


def above(names: tuple[str, ...], found: list[float], least: float) -> list[Said]:
    """Say of each output whether its cosine is above `least`; NaN never is."""
    said = []
    for name, value in zip(names, found, strict=True):
        distance = math.inf if math.isnan(value) else 1 - value
        passes = value > least
        said.append(Said(name, "pass" if passes else "fail", "" if passes else f"cosine {value:.6g}", "1 - cosine", distance, 1 - least))
    return said
