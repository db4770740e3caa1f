"""The table for NaN and infinity (5.3.3), element by element. Knows no metric.

    the device has what the third party has, or what a special golden has        correct
    a special golden that the third party meets and the device does not          wrong
    all three differ                                                             to be investigated, by a person
    INF_NAN_MODE_ENABLE=0, or a device older than Atlas A2                       an infinity takes no part

The golden counts as rounded to the dtype of the output: what overflows there is an infinity. The text names no case for a finite
golden; we read it in its spirit: special where golden and third party are both finite is wrong, and finite where only the third party is
special is closer to the golden, so correct.
"""

from enum import IntEnum

import numpy as np

from harness.standards.cann.thresholds import FORMATS


class Special(IntEnum):
    """What becomes of an element."""

    ORDINARY = 0  # all three are finite: the metrics judge it
    CORRECT = 1
    WRONG = 2
    INVESTIGATE = 3
    EXCLUDED = 4


def classify(device: np.ndarray, reference: np.ndarray, golden: np.ndarray, dtype: str, inf_nan_mode: bool = True) -> np.ndarray | None:
    """Return a `Special` for each element, int8, or None where all three are finite everywhere (then nothing is to be done)."""
    rounded = as_rounded(golden, dtype)
    finite = [np.isfinite(side) for side in (device, reference, rounded)]
    ordinary = finite[0] & finite[1] & finite[2]
    if ordinary.all():
        return None
    classes = np.zeros(golden.shape, dtype=np.int8)
    at = np.flatnonzero(~ordinary)
    ours, theirs, truth = (side.reshape(-1)[at] for side in (device, reference, rounded))
    classes.flat[at] = _table(ours, theirs, truth, inf_nan_mode)
    return classes


def _table(device: np.ndarray, reference: np.ndarray, golden: np.ndarray, inf_nan_mode: bool) -> np.ndarray:
    """Judge elements of which at least one side is special."""
    like_reference, like_golden, agreed = _same(device, reference), _same(device, golden), _same(reference, golden)
    special = ~np.isfinite(golden)
    ordinary = np.isfinite(device) & ~special  # only the third party is special
    slipped = ~np.isfinite(device) & ~special & np.isfinite(reference)
    correct = like_reference | (special & like_golden) | ordinary
    wrong = ~correct & ((special & agreed) | slipped)
    classes = np.select([correct, wrong], [Special.CORRECT, Special.WRONG], Special.INVESTIGATE)
    if not inf_nan_mode:
        classes[np.isinf(device) | np.isinf(reference) | np.isinf(golden)] = Special.EXCLUDED
    return classes.astype(np.int8)


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


def as_rounded(golden: np.ndarray, dtype: str) -> np.ndarray:
    """Return the golden with infinities where rounding to nearest in `dtype` gives them; other values are left as they are."""
    beyond = np.abs(golden) >= FORMATS[dtype].overflow
    return np.where(beyond, np.copysign(np.inf, golden), golden) if beyond.any() else golden
