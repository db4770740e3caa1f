"""Is the device's error against float64 of the size of the reference device's own error? Knows no operator.

Error is measured in units of u, the unit roundoff of the dtype (2^-24 float32, 2^-11 float16, 2^-8 bfloat16), in two figures:

    rms    sqrt(mean e^2) / sqrt(mean g^2)          e = output - g,  g the float64 golden of the same rounded inputs
    worst  max |e| / (|g| + sqrt(mean g^2))

and each is bounded by what the reference device does on the same inputs: rms <= 2 x reference, worst <= 10 x reference, the
ratios of level L0 of the CANN operator precision standard (cann/opbase). A result that is faithfully rounded is always
accepted: rms 2u/sqrt(3), worst 2u. With few elements the ratio of two sound devices scatters; the rms bound is widened
by the root of the 99.9 % quantile of F(n, n), which tends to 1 (below ten elements: as for ten; less where a check knows
that its elements are not independent).
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from scipy.stats import f as f_distribution
from torch import Tensor

from harness.checks.evidence import Evidence, Sides
from harness.verdict import Finding, Outcome

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
RMS_RATIO, WORST_RATIO = 2.0, 10.0

T = TypeVar("T")

_CHUNK = 3 << 13  # elements: three float64 buffers of 192 KiB stay in a core's cache; below 2^15 torch starts no threads of its own
_PARALLEL = 1 << 18  # elements from which two threads pay off
_SPARSE = 0.9  # share of zeros in the golden from which an agreement says nothing


class Roundoff(NamedTuple):
    """Two unit roundoffs: `unit`, in which figures are given, and `floor`, up to which a result is always accepted."""

    unit: float
    floor: float


def roundoff(evidence: Evidence, output: str) -> Roundoff:
    """Return the roundoffs that govern an output: figures in the coarser of its own and the case's, accepted is only its own.

    A float32 output of a bfloat16 case (logits, a softmax that is to be done in float32) may thus only be as coarse as the
    reference's is.
    """
    own, case = UNIT_ROUNDOFF[evidence.candidate.dtypes[output]], UNIT_ROUNDOFF[evidence.case.dtype]
    return Roundoff(max(own, case), own)


@dataclass(frozen=True)
class Signal:
    """What the golden itself looks like: root mean square of its finite elements, how many, and its share of zeros."""

    rms: float
    count: int
    zeros: float
    constant: bool


@dataclass(frozen=True)
class ErrorSize:
    """How far an output lies from the golden: relative rms and worst element (flat index `at`), as defined above."""

    rms: float
    worst: float
    at: int


def _spans(size: int) -> list[range]:
    """Split [0, size) into chunk starts for one or two threads."""
    starts = range(0, size, _CHUNK)
    if size < _PARALLEL:
        return [starts]
    half = len(starts) // 2
    return [starts[:half], starts[half:]]


def _in_threads(size: int, function: Callable[[range], T]) -> list[T]:
    """Apply `function` to spans of chunk starts. torch releases the interpreter lock, so threads are enough."""
    spans = _spans(size)
    if len(spans) == 1:
        return [function(spans[0])]
    with ThreadPoolExecutor(len(spans)) as pool:
        return list(pool.map(function, spans))


def signal_of(golden: Tensor) -> Signal:
    """Describe a flat, finite float64 golden."""

    stride = 1 if golden.numel() < _PARALLEL else 8  # of a large golden the share of zeros is estimated

    def part(starts: range) -> tuple[float, int, int, float, float]:
        square, nonzero, seen, low, high = 0.0, 0, 0, math.inf, -math.inf
        for begin in starts:
            chunk = golden[begin : begin + _CHUNK]
            g, some = chunk.numpy(), chunk.numpy()[::stride]
            square += float(torch.linalg.vector_norm(chunk)) ** 2  # torch.dot would start MKL's threads
            nonzero, seen = nonzero + int(np.count_nonzero(some)), seen + some.size
            low, high = min(low, float(g.min())), max(high, float(g.max()))
        return square, nonzero, seen, low, high

    count = golden.numel()
    squares, nonzeros, seen, lows, highs = zip(*_in_threads(count, part), strict=True)
    return Signal(math.sqrt(sum(squares) / count), count, 1 - sum(nonzeros) / sum(seen), count > 1 and min(lows) == max(highs))


def errors_of(outputs: Sequence[Tensor], golden: Tensor, rms: float) -> list[ErrorSize]:
    """Measure flat floating outputs against a flat float64 golden whose root mean square is `rms`.

    A NaN or an infinity in an output gives an infinite error.
    """

    def part(starts: range) -> list[tuple[float, float, int]]:
        error, scale = torch.empty(_CHUNK, dtype=torch.float64), torch.empty(_CHUNK, dtype=torch.float64)
        found = [(0.0, -1.0, 0)] * len(outputs)
        for begin in starts:
            g = golden[begin : begin + _CHUNK]
            e, s = error[: g.numel()], scale[: g.numel()]
            torch.abs(g, out=s).add_(rms).reciprocal_()
            for i, output in enumerate(outputs):
                e.copy_(output[begin : begin + _CHUNK]).sub_(g)
                square, worst, at = found[i]
                square += float(torch.linalg.vector_norm(e)) ** 2
                most = float(torch.amax(e.abs_().mul_(s)))
                if not most <= worst:  # also true for NaN
                    worst, at = most, begin + int(e.argmax())
                found[i] = square, worst, at
        return found

    sizes = []
    for parts in zip(*_in_threads(golden.numel(), part), strict=True):
        _, worst, at = max(parts, key=lambda p: _no_nan(p[1]))
        relative = math.sqrt(sum(p[0] for p in parts) / golden.numel()) / rms
        sizes.append(ErrorSize(_no_nan(relative), _no_nan(worst), at))
    return sizes


def _no_nan(value: float) -> float:
    return math.inf if math.isnan(value) else value


@lru_cache
def widening(independent: int) -> float:
    """Return the factor by which the rms errors of two equally sound devices may differ by chance, given so many independent elements."""
    n = independent
    return math.sqrt(float(f_distribution.ppf(0.999, n, n)))


def _flat(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.reshape(-1))


def _index(at: int, shape: tuple[int, ...]) -> str:
    return f"index {[int(i) for i in np.unravel_index(at, shape)]}" if shape else ""


def compare(name: str, sides: Sides, u: Roundoff, check: str, independent: int | None = None) -> list[Finding]:
    """Judge one output of any shape.

    `independent` is how many elements count as independent (default: all, at least ten). Elements at which the golden is
    not finite are left to the special-values check.
    """
    candidate, reference, golden = sides
    if not sides.one_shape():
        text = f"shape {candidate.shape}, reference {reference.shape}, golden {golden.shape}"
        return [Finding(check, name, Outcome.FAIL, message=text)]
    if golden.size == 0:
        return [Finding(check, name, Outcome.PASS, message="empty, as it should be")]
    finite = np.isfinite(golden)
    shape = golden.shape
    if not finite.all():
        shape = ()  # an index into what is left would mislead
        candidate, reference, golden = candidate[finite], reference[finite], golden[finite]
    g = _flat(golden.astype(np.float64, copy=False))
    if g.numel() == 0:
        return [Finding(check, name, Outcome.MISTRUSTED, message="the golden has no finite element")]
    signal = signal_of(g)
    if signal.rms == 0 or signal.constant or signal.zeros > _SPARSE:
        what = "it is constant" if signal.constant else f"{signal.zeros:.0%} of it is zero"
        text = f"an agreement with this golden says nothing: {what}"
        return [Finding(check, name, Outcome.MISTRUSTED, message=text)]
    error, own = errors_of([_flat(candidate), _flat(reference)], g, signal.rms)
    return _judge(name, error, own, widening(independent or max(signal.count, 10)), u, shape, check)


def _judge(name: str, error: ErrorSize, own: ErrorSize, wide: float, u: Roundoff, shape: tuple[int, ...], check: str) -> list[Finding]:
    if not math.isfinite(own.rms + own.worst):
        return [Finding(check, name, Outcome.INCOMPARABLE, message="the reference's own result is not finite where float64 is")]
    bounds = (
        ("rms", error.rms, own.rms, max(RMS_RATIO * own.rms, 2 / math.sqrt(3) * u.floor) * wide),
        ("worst", error.worst, own.worst, max(WORST_RATIO * own.worst, 2 * u.floor)),
    )
    findings, unit = [], u.unit
    for metric, measured, reference, bound in bounds:
        outcome, message = Outcome.PASS, ""
        if not measured <= bound:
            outcome = Outcome.FAIL
            message = f"{measured / unit:.3g} u, allowed {bound / unit:.3g} u (the reference device: {reference / unit:.3g} u)"
        elif bound >= 0.5 and metric == "rms":
            outcome, message = Outcome.MISTRUSTED, f"the bound is {bound:.0%} of the signal; nothing could have failed it"
        elif bound >= 0.5:
            message = f"blunt: a single element may be off by {bound:.0%} of the signal; rms decides here"
        where = _index(error.at, shape) if metric == "worst" else ""
        finding = Finding(check, f"{name} {metric}", outcome, measured / unit, bound / unit, "u", reference / unit, where=where)
        findings.append(replace(finding, message=message))
    return findings


@dataclass(frozen=True)
class Closeness:
    """Every floating output (or those matching `only`) is as close to float64 as the reference device brings it."""

    only: tuple[str, ...] = ("*",)
    name: str = "closeness"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return two findings an output. Without a golden every output is `incomparable`."""
        findings: list[Finding] = []
        for output in evidence.floating(self.only):
            findings += self._one(evidence, output)
        return findings

    def _one(self, evidence: Evidence, output: str) -> list[Finding]:
        sides = evidence.sides(output)
        if isinstance(sides, str):
            return [Finding(self.name, output, Outcome.INCOMPARABLE, message=sides)]
        ours, theirs = evidence.candidate.dtypes[output], evidence.reference.dtypes[output]
        if ours != theirs:
            return [Finding(self.name, output, Outcome.FAIL, message=f"dtype {ours}, the reference has {theirs}")]
        return compare(output, sides, roundoff(evidence, output), self.name)
