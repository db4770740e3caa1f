"""Floating outputs against a golden, beside a third party (4.5): MARE, MERE, RMSE, the small-value domain. Knows no repetition.

    MARE = max  |d - g| / (|g| + 1e-7)      d the device, g the golden; only where |g| >= the small-value threshold (4.5.1)
    MERE = mean |d - g| / (|g| + 1e-7)
    RMSE = sqrt(mean (d - g)^2)
    ErrorCount = #{ |g| < threshold and |d - g| > error }                                                            (4.5.3)

The text gives small values a rule of their own; we read it so that they count in no mean of the others. A ratio of two zeros is 0;
of anything to a zero it is infinite.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.standards.cann.special import Special, classify
from harness.standards.cann.thresholds import ERROR_COUNT_RATIO, FORMATS, LEVELS
from harness.standards.segments import Segments

EPSILON = 1e-7
METRICS = ("MARE", "MERE", "RMSE", "ErrorCount")


class Errors(NamedTuple):
    """The four figures of each output; arrays [2, outputs], the candidate's row first, then the third party's."""

    mare: np.ndarray
    mere: np.ndarray
    rmse: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Said:
    """What a rule says of an output: `pass`, `fail` or `investigate`, in words, and the ratio that is furthest beyond its bound."""

    output: str
    says: str
    why: str = ""
    metric: str = ""
    ratio: float = 0.0
    bound: float = 0.0

    @property
    def badness(self) -> tuple[int, float]:
        """What a worse one has more of."""
        return ("pass", "investigate", "fail").index(self.says), self.ratio / self.bound if self.bound else 0.0


def errors_of(segments: Segments, dtype: str, usable: np.ndarray) -> Errors:
    """Measure every segment; `usable` bool [n] says which elements take part (those whose three values are finite)."""
    form = FORMATS[dtype]
    size = np.abs(segments.golden)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(segments.outputs - segments.golden)
        normal = usable & (size >= form.small)
        error_there = np.where(normal, error, 0.0)
        relative = error_there / (size + EPSILON)
        relative[:, ~normal] = 0.0  # the golden of these may be infinite, or NaN
        many = np.maximum(segments.total(normal), 1)
        wrong = usable & (size < form.small) & (error > form.small_error)
        mean_square = segments.total(error_there * error_there) / many
    return Errors(segments.largest(relative), segments.total(relative) / many, np.sqrt(mean_square), segments.total(wrong))


def ratios(errors: Errors) -> np.ndarray:
    """Return the candidate's errors in units of the third party's: [4, outputs], in the order of METRICS."""
    normal = np.stack(errors[:3])
    ours, theirs = normal[:, 0], normal[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(ours == 0, 0.0, ours / theirs)
    return np.vstack([found, errors.counts[0] / np.maximum(errors.counts[1], 1)])


def bounds(level: str) -> np.ndarray:
    """Return the largest ratio that a level allows of each of METRICS."""
    allowed = LEVELS[level]
    return np.array([allowed.mare, allowed.mere, allowed.rmse, ERROR_COUNT_RATIO])


def judge(segments: Segments, dtype: str, level: str, inf_nan_mode: bool = True) -> list[Said]:
    """Say of each output (all of `dtype`, a key of FORMATS) whether it meets a level."""
    classes = classify(segments.outputs[0], segments.outputs[1], segments.golden, dtype, inf_nan_mode)
    usable = np.ones(segments.golden.shape, dtype=bool) if classes is None else classes == Special.ORDINARY
    found, allowed = ratios(errors_of(segments, dtype, usable)), bounds(level)
    wrong = unclear = np.zeros(len(segments.names), dtype=np.int64)
    if classes is not None:
        wrong, unclear = segments.total(classes == Special.WRONG), segments.total(classes == Special.INVESTIGATE)
    share = found / allowed[:, None]
    worst = share.argmax(axis=0)
    said = []
    for i, (name, at) in enumerate(zip(segments.names, worst.tolist(), strict=True)):
        ratio, bound = float(found[at, i]), float(allowed[at])
        if wrong[i]:
            said.append(Said(name, "fail", f"{wrong[i]} elements are wrongly NaN, infinite or finite", "INF/NaN", np.inf, 1.0))
        elif not ratio <= bound:
            said.append(Said(name, "fail", f"{METRICS[at]} ratio {ratio:.3g} > {bound:g}", METRICS[at], ratio, bound))
        elif unclear[i]:
            text = f"{unclear[i]} elements are special, and device, reference and golden all differ there"
            said.append(Said(name, "investigate", text, "INF/NaN"))
        else:
            said.append(Said(name, "pass", "", METRICS[at], ratio, bound))
    return said
