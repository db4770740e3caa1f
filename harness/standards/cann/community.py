"""The standard for operators that the community contributes: one golden, no third party, two editions. Knows no level.

First edition: MERE < T and MARE < 10 T. Second edition: at least 99 % of the elements within atol + rtol |g|, and no element off by more
than a limit, "or 32 ULP", which we read as whichever of the two is larger for the element. Source: cann/opbase, experimental_standard.
"""

import numpy as np

from harness.standards.cann.floating import EPSILON
from harness.standards.cann.special import as_rounded
from harness.standards.cann.thresholds import FORMATS

MATCHED = 0.99
_ULPS = 32


def first_edition(actual: np.ndarray, golden: np.ndarray, dtype: str) -> bool:
    """Say whether `actual` passes: floating arrays of one shape; special values must be where the golden's are."""
    if not _specials_agree(actual, golden, dtype):
        return False
    error, size = _finite(actual, golden, dtype)
    if not error.size:
        return True
    relative = error / (size + EPSILON)
    threshold = FORMATS[dtype].community
    return bool(relative.mean() < threshold and relative.max() < 10 * threshold)


def second_edition(actual: np.ndarray, golden: np.ndarray, dtype: str) -> bool:
    """Say whether `actual` passes the mixed tolerance; arguments as above."""
    if not _specials_agree(actual, golden, dtype):
        return False
    error, size = _finite(actual, golden, dtype)
    if not error.size:
        return True
    form = FORMATS[dtype]
    matched = np.count_nonzero(error <= form.atol + form.rtol * size) / error.size
    spacing = form.ulp * 2.0 ** np.floor(np.log2(np.maximum(size, form.tiny)))
    return bool(matched >= MATCHED and (error <= np.maximum(form.limit, _ULPS * spacing)).all())


def _specials_agree(actual: np.ndarray, golden: np.ndarray, dtype: str) -> bool:
    rounded = as_rounded(golden, dtype)
    special = ~(np.isfinite(actual) & np.isfinite(rounded))
    a, b = actual[special], rounded[special]
    return bool(((a == b) | (np.isnan(a) & np.isnan(b))).all())


def _finite(actual: np.ndarray, golden: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    keep = np.isfinite(actual) & np.isfinite(as_rounded(golden, dtype))
    wanted = golden[keep].astype(np.float64)
    return np.abs(actual[keep].astype(np.float64) - wanted), np.abs(wanted)
