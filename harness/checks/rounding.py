"""What a float64 value becomes in a narrower dtype, as far as a check must know: where it overflows. Knows no operator."""

import numpy as np

#: The least magnitude that round-to-nearest makes infinite: the midpoint between the largest number and the next power of two.
OVERFLOW = {"float16": 65520.0, "bfloat16": 2.0**128 - 2.0**119, "float32": 2.0**128 - 2.0**103}


def representable(golden: np.ndarray, dtype: str) -> np.ndarray:
    """Return the golden with an infinity wherever `dtype` cannot hold its value; itself where there is none."""
    beyond = np.isfinite(golden) & (np.abs(golden, dtype=np.float64) >= OVERFLOW.get(dtype, np.inf))
    return np.where(beyond, np.copysign(np.inf, golden), golden) if beyond.any() else golden
