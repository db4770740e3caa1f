"""How far outputs lie from a float64 golden, many small ones at once or a large one in threads. Knows no bound and no outcome.

    rms    sqrt(mean e^2) / sqrt(mean g^2)          e = output - g,  g the float64 golden of the same rounded inputs
    worst  max |e| / (|g| + sqrt(mean g^2))

Elements at which the golden is not finite are left out. Where the golden is zero throughout, errors are absolute.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")

_CHUNK = 3 << 13  # elements: three float64 buffers of 192 KiB stay in a core's cache; below 2^15 torch starts no threads of its own
_PARALLEL = 1 << 18  # elements from which two threads pay off
_SMALL = 1 << 15  # elements up to which outputs are measured together


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


@dataclass(frozen=True)
class Sized:
    """One output measured: the golden, the candidate's error, and the error of each accepted side, the reference's first."""

    signal: Signal
    error: ErrorSize
    accepted: tuple[ErrorSize, ...]

    @property
    def own(self) -> ErrorSize:
        """The largest of the accepted errors, metric by metric; a form that overflows where the reference does not is no guide."""
        sides = [self.accepted[0], *(a for a in self.accepted[1:] if math.isfinite(a.rms + a.worst))]
        return ErrorSize(max(a.rms for a in sides), max(a.worst for a in sides), 0)


@dataclass(frozen=True)
class Output:
    """One output of one shape as every side has it; `excused` (float64, or None) is how far each element may be off for no fault."""

    golden: np.ndarray
    candidate: np.ndarray
    accepted: tuple[np.ndarray, ...]
    excused: np.ndarray | None = None


def size_up(outputs: Sequence[Output]) -> list[Sized]:
    """Measure outputs, none of them empty. A NaN or an infinity where the golden is finite gives an infinite error."""
    sized: dict[int, Sized] = {}
    small = [i for i, output in enumerate(outputs) if output.golden.size <= _SMALL]
    for sides in sorted({len(outputs[i].accepted) for i in small}):
        batch = [i for i in small if len(outputs[i].accepted) == sides]
        sized |= zip(batch, _together([outputs[i] for i in batch]), strict=True)
    return [sized[i] if i in sized else _alone(output) for i, output in enumerate(outputs)]


def _together(outputs: Sequence[Output]) -> list[Sized]:
    """Measure small outputs laid end to end: each is a segment."""
    lengths = np.array([output.golden.size for output in outputs])
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    golden = _joined([output.golden for output in outputs])
    finite = np.isfinite(golden)
    g = np.where(finite, golden, 0.0)
    count = np.add.reduceat(finite, starts, dtype=np.int64)
    rms = np.sqrt(np.add.reduceat(g * g, starts) / np.maximum(count, 1))
    norm = np.where(rms > 0, rms, 1.0)
    scale = np.abs(g) + np.repeat(norm, lengths)
    zeros = 1 - np.add.reduceat(g != 0, starts, dtype=np.int64) / np.maximum(count, 1)
    low = np.minimum.reduceat(np.where(finite, golden, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, golden, -np.inf), starts)
    signals = [
        Signal(float(r), int(n), float(z), bool(n > 1 and a == b)) for r, n, z, a, b in zip(rms, count, zeros, low, high, strict=True)
    ]

    def errors(arrays: Sequence[np.ndarray], excused: np.ndarray | None = None) -> list[ErrorSize]:
        with np.errstate(invalid="ignore", over="ignore"):
            e = np.where(finite, np.abs(_joined(arrays) - g), 0.0)
            if excused is not None:
                e = np.maximum(e - excused, 0.0)
            e[np.isnan(e)] = np.inf
            sizes = np.sqrt(np.add.reduceat(e * e, starts) / np.maximum(count, 1)) / norm
            relative = e / scale
        worst = np.maximum.reduceat(relative, starts)
        return [ErrorSize(float(r), float(w), -1) for r, w in zip(sizes, worst, strict=True)]

    some = any(output.excused is not None for output in outputs)
    excused = _joined([np.zeros(o.golden.shape) if o.excused is None else o.excused for o in outputs]) if some else None
    ours = errors([output.candidate for output in outputs], excused)
    sides = [errors([output.accepted[k] for output in outputs]) for k in range(len(outputs[0].accepted))]
    return [Sized(signals[i], ours[i], tuple(side[i] for side in sides)) for i in range(len(outputs))]


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.reshape(-1) for array in arrays]).astype(np.float64, copy=False)


def worst_at(output: Output) -> int:
    """Return the flat index of the candidate's worst element."""
    g = output.golden.reshape(-1).astype(np.float64)
    finite = np.isfinite(g)
    with np.errstate(invalid="ignore", over="ignore"):
        e = np.abs(output.candidate.reshape(-1).astype(np.float64) - g)
        if output.excused is not None:
            e = np.maximum(e - output.excused.reshape(-1), 0.0)
        rms = math.sqrt(float(np.mean(g[finite] ** 2)) if finite.any() else 0.0) or 1.0
        relative = np.where(finite, e / (np.abs(g) + rms), -1.0)
    relative[np.isnan(relative)] = np.inf
    return int(relative.argmax())


def _alone(output: Output) -> Sized:
    sides = [output.candidate, *output.accepted]
    golden, excused = output.golden, output.excused
    finite = np.isfinite(golden)
    if not finite.all():
        golden, sides = golden[finite], [side[finite] for side in sides]
        excused = None if excused is None else excused[finite]
    g = _flat(golden.astype(np.float64, copy=False))
    if g.numel() == 0:
        return Sized(Signal(0.0, 0, 1.0, False), ErrorSize(0.0, 0.0, 0), tuple(ErrorSize(0.0, 0.0, 0) for _ in output.accepted))
    if excused is not None:  # what is excused is taken off first; this is rare, so it may cost a copy
        e = sides[0].astype(np.float64) - golden
        sides[0] = golden + np.copysign(np.maximum(np.abs(e) - excused, 0.0), e)
    signal = signal_of(g)
    error, *accepted = errors_of([_flat(side) for side in sides], g, signal.rms or 1.0)
    return Sized(signal, error, tuple(accepted))


def _flat(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array).reshape(-1))


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
    """Measure flat floating outputs against a flat, finite float64 golden whose root mean square is `rms`.

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
