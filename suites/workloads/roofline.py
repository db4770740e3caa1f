"""What the device itself can do: the rate at which it copies memory, and at which it multiplies matrices. Knows no device.

Copy and triad are those of STREAM (McCalpin, 1995), whose bytes are counted as it counts them: what the program reads and writes. The
arrays have to be several times as large as the largest cache, or the rate is that of a cache. Matrices come in several sizes; the best rate
of a dtype counts.
"""

import torch

from harness.case import Case, Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.special_values import SpecialValues
from harness.checks.throughput import Throughput
from harness.inputs import Inputs
from suites.workloads.costs import costed

_DTYPES = ("float32", "bfloat16")
_FACTOR = 3.0
_DRAWN = 1 << 16  # numbers that are drawn; an array has them again and again
_MEBI = 1 << 20


def copy(inputs: Inputs, /, *, mebibytes: int) -> Step:
    """Copy an array of so many MiB into another: reads and writes each byte once. Output: `out`, every 997th number."""
    source = _array(inputs, "source", mebibytes)
    target = torch.zeros_like(source)
    traffic = 2 * source.nbytes

    def call() -> dict[str, torch.Tensor]:
        target.copy_(source)
        return {"out": target[::997].clone()}

    return costed(Step(call, work=traffic, unit="bytes"), lambda: 0, lambda: traffic)


def triad(inputs: Inputs, /, *, mebibytes: int) -> Step:
    """Write a + 3 b into a third array of so many MiB: reads two, writes one. Output: `out`, every 997th number."""
    a, b = _array(inputs, "a", mebibytes), _array(inputs, "b", mebibytes)
    target = torch.zeros_like(a)
    traffic = 3 * a.nbytes

    def call() -> dict[str, torch.Tensor]:
        torch.add(a, b, alpha=_FACTOR, out=target)
        return {"out": target[::997].clone()}

    return costed(Step(call, work=traffic, unit="bytes"), lambda: 2 * a.numel(), lambda: traffic)


def product(inputs: Inputs, /, *, size: int) -> Step:
    """Multiply two square matrices of `size` rows: 2 size³ operations. Output: `out` [size, size]."""
    scale = size**-0.25
    left, right = (inputs.normal(name, (size, size), scale=scale) for name in ("left", "right"))

    def call() -> dict[str, torch.Tensor]:
        return {"out": left @ right}

    return costed(Step(call, work=2 * size**3, unit="operations"), lambda: 2 * size**3, lambda: 3 * left.nbytes)


def _array(inputs: Inputs, name: str, mebibytes: int) -> torch.Tensor:
    drawn = inputs.normal(name, (_DRAWN,))
    return drawn.repeat(mebibytes * _MEBI // (_DRAWN * inputs.dtype.itemsize))


_JUDGED: tuple[Promise, ...] = (SpecialValues(), Closeness())
_TIMED: tuple[Promise, ...] = (SpecialValues(), Throughput())
_STREAMS = (("copy", copy), ("triad", triad))
# 4096 is enough for most of the peak of a large accelerator; 8192 shows the rest of it and takes a CPU minutes
_SIZES = (1024, 2048, 4096, 8192)
_LARGE: dict[str, Scalar] = {"mebibytes": 256}
_SMALL: dict[str, Scalar] = {"mebibytes": 4}

CASES = (
    *(Case(f"operators/roofline/{name}[float32]", "operators", f, "float32", _JUDGED, _SMALL) for name, f in _STREAMS),
    *(Case(f"operators/roofline/product[{dtype}]", "operators", product, dtype, _JUDGED, {"size": 256}) for dtype in _DTYPES),
    *(
        Case(
            f"performance/roofline/{name}[float32]", "performance", f, "float32", _TIMED, _LARGE, rounds=2, golden=False,
            vouched_by=f"operators/roofline/{name}[float32]",
        )
        for name, f in _STREAMS
    ),
    *(
        Case(
            f"performance/roofline/product-{size}[{dtype}]", "performance", product, dtype, _TIMED, {"size": size}, rounds=2, golden=False,
            vouched_by=f"operators/roofline/product[{dtype}]", wide=size in _SIZES[1:3], long=size == _SIZES[-1],
        )
        for size in _SIZES for dtype in _DTYPES
    ),
)  # fmt: skip
