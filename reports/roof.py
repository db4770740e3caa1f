"""The roofline: what the candidate's memory and matrix unit can do, and where each workload lies below. Knows no page and no figure.

Williams, Waterman and Patterson, Communications of the ACM 52, 2009: with an intensity of i operations a byte, no more than
min(rate of the matrix unit, i x bandwidth) operations a second are possible. The roof is measured; what was published stands beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.frame import Frames
from reports.performance import Rate, rates, shown_as_performance
from reports.statistics import Estimate

_ROOF = "performance/roofline/"
STREAMS = (f"{_ROOF}copy[", f"{_ROOF}triad[")
PRODUCT = f"{_ROOF}product-"


@dataclass(frozen=True)
class Placed:
    """A workload below the roof: operations a byte at most, operations a second, and the share of what its intensity allows."""

    case: str
    intensity: float
    achieved: Estimate
    share: float


@dataclass(frozen=True)
class Roof:
    """Of one dtype: bytes a second and operations a second, each the best that was measured, and the workloads below."""

    dtype: str
    bandwidth: Rate
    product: Rate
    placed: Sequence[Placed]

    @property
    def ridge(self) -> float:
        """Operations a byte from which on the matrix unit is the limit and not memory."""
        return self.product.ours.value / self.bandwidth.ours.value

    def limit(self, intensity: float) -> float:
        """Return the most operations a second at an intensity."""
        return min(self.product.ours.value, intensity * self.bandwidth.ours.value)


def roofs(frames: Frames) -> list[Roof]:
    """Return the roofs of the dtypes of which both parts were measured and are right; none of an emulated device."""
    if not shown_as_performance(frames):
        return []
    right = [rate for rate in rates(frames) if not rate.wrong]
    streams = [rate for rate in right if rate.case.startswith(STREAMS)]
    products = [rate for rate in right if rate.case.startswith(PRODUCT)]
    if not streams:
        return []
    best = max(streams, key=_value)
    dtypes = dict.fromkeys(rate.dtype for rate in products)
    return [_roof(dtype, best, max((r for r in products if r.dtype == dtype), key=_value), right) for dtype in dtypes]


def _value(rate: Rate) -> float:
    return rate.ours.value


def _roof(dtype: str, bandwidth: Rate, product: Rate, right: Sequence[Rate]) -> Roof:
    bare = Roof(dtype, bandwidth, product, ())
    placed = []
    for rate in right:
        if rate.dtype != dtype or rate.case.startswith(_ROOF) or not rate.flops or not rate.traffic:
            continue
        intensity, factor = rate.flops / rate.traffic, rate.flops / rate.work
        low, high = (end * factor if end else None for end in (rate.ours.low, rate.ours.high))
        achieved = Estimate(rate.ours.value * factor, low, high)
        placed.append(Placed(rate.case.removeprefix("performance/"), intensity, achieved, achieved.value / bare.limit(intensity)))
    return Roof(dtype, bandwidth, product, placed)
