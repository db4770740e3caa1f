"""The numbers of the standard: levels (1.2, 2, 3, 4.5.1), dtypes (4.5.3, community edition). Knows no formula."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """What a level asks: largest error ratios, how many cases in all and of each dtype, how often each is repeated."""

    name: str
    mare: float
    mere: float
    rmse: float
    cases: int
    cases_per_dtype: int
    repeats: int


LEVELS = {
    level.name: level
    for level in (
        Level("L0", 10.0, 2.0, 2.0, 5_000, 200, 50),
        Level("L1", 5.0, 1.5, 1.5, 10_000, 700, 50),
        Level("L2", 2.0, 1.2, 1.2, 30_000, 700, 1_000),
    )
}
ERROR_COUNT_RATIO = 2.0  # 4.5.3, the same at every level
TOTAL_ELEMENTS = 1_000_000  # 2, note 3: output elements of all cases together
QUANTISED_STEP = 1.0  # 4.4: largest absolute error of a quantised integer output


@dataclass(frozen=True)
class Format:
    """What the standard fixes for a floating dtype.

    `small` and `small_error` are the small-value threshold and its error (4.5.3), `community` the threshold of the first community
    edition, `rtol`, `atol` and `limit` those of the second. `overflow` is where rounding to nearest makes an infinity (a property of the
    dtype, not of the standard), `ulp` the distance of 1 from the next number, `tiny` the smallest normal number.
    """

    small: float
    small_error: float
    community: float
    rtol: float
    atol: float
    limit: float
    overflow: float
    ulp: float
    tiny: float


FORMATS = {
    "float16": Format(2**-11, 2**-16, 2**-10, 2**-9, 2**-9, 1e-1, 65520.0, 2**-10, 2**-14),
    "bfloat16": Format(2**-8, 2**-16, 2**-7, 2**-6, 2**-6, 1e0, 2.0**128 - 2.0**119, 2**-7, 2.0**-126),
    "float32": Format(2**-14, 2**-30, 2**-13, 2**-10, 2**-16, 1e-2, 2.0**128 - 2.0**103, 2**-23, 2.0**-126),
    "hifloat32": Format(2**-12, 2**-28, 2**-11, 2**-9, 2**-10, 1e-1, 2.0**128 - 2.0**115, 2**-11, 2.0**-126),
    "float8_e4m3fn": Format(2**-4, 2**-6, 2**-3, 2**-2, 2**-4, 1e0, float("inf"), 2**-3, 2**-6),  # has no infinity
    "float8_e5m2": Format(2**-3, 2**-5, 2**-2, 2**-1, 2**-3, 1e-1, 61440.0, 2**-2, 2**-14),
}
