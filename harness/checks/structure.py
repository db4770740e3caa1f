"""What an error looks like: whole rows off by one factor, leaning to one side, in one block, scattered? Knows no operator.

With e the error against the float64 golden g, seen as rows (the last dimension) and columns (all others), in units of the roundoff u:

    rows, columns   the scale error a_r = <e, g>_r / <g, g>_r of each row, beyond what independent errors of its elements give:
                    sqrt(mean(a_r^2 - sum(e^2 g^2)_r / <g, g>_r^2)). A sum, mean or variance computed too coarsely shifts a whole row.
    bias            sum(e sign g) / sum |g| or sum e / sum |g|, if beyond four standard errors over rows: rounding that leans to one side.

Independent errors give 0 in each. A sum of n terms in the arithmetic's own roundoff v gives a row up to 2 v sqrt((n - 1) / 6), which is
what a sequential sum of terms with random signs loses (Higham, Accuracy and Stability, 2nd ed., 4.2). The floors beside that are a
tenth of u for rows and columns (a statistic rounded to the dtype gives 0.3 u) and 0.35 u for a bias (truncation gives 0.7 u).
A result that is no farther from float64 than an accepted one cannot fail here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.checks.errors import Output, Sized
from harness.inputs import ARITHMETIC
from harness.verdict import Cause

FEWEST = 256  # elements from which there is a structure to speak of
RATIO = 3.0  # times the accepted sides' own
_GATE = 1.05  # times their rms, up to which a result is left alone
_ROWS, _BIAS = 0.1, 0.35  # u
_DISTINCT = 16  # values of the golden from which errors can be said to lean, not to repeat
_LINES = 8  # rows or columns from which a mean over them means something


@dataclass(frozen=True)
class Structure:
    """The three figures, relative (not in u)."""

    rows: float
    columns: float
    bias: float


def structure_of(error: np.ndarray, golden: np.ndarray) -> Structure:
    """Measure an error array against its golden of the same shape (float64, finite)."""
    e, g = _as_rows(error), _as_rows(golden)
    return Structure(_scale(e, g), _scale(e.T, g.T), _bias(e, g))


def _as_rows(array: np.ndarray) -> np.ndarray:
    """Return a matrix; a vector is cut into rows of 64, which leaves out up to 63 elements."""
    if array.ndim >= 2 and array.shape[-1] > 1:
        return array.reshape(-1, array.shape[-1])
    flat = array.reshape(-1)
    return flat[: flat.size - flat.size % 64].reshape(-1, 64) if flat.size >= 64 else flat.reshape(1, -1)


def _scale(e: np.ndarray, g: np.ndarray) -> float:
    power = np.sum(g * g, axis=1)
    live = power > 0
    if np.count_nonzero(live) < _LINES or e.shape[1] < _LINES:
        return 0.0
    e, g, power = e[live], g[live], power[live]
    square = (np.sum(e * g, axis=1) / power) ** 2
    beyond = square - np.sum(e * e * g * g, axis=1) / power**2
    spread = float(np.std(beyond)) / math.sqrt(len(beyond))
    return math.sqrt(max(float(np.mean(beyond)) - 4 * spread, 0.0))


def _bias(e: np.ndarray, g: np.ndarray) -> float:
    total = float(np.sum(np.abs(g)))
    if total == 0 or len(e) < _LINES:
        return 0.0
    most = 0.0
    for lean in (np.sum(e * np.sign(g), axis=1), np.sum(e, axis=1)):
        most = max(most, _beyond_chance(lean))
    return most / total


def _beyond_chance(lean: np.ndarray) -> float:
    """Return the size of a sum over rows, or 0 where it is within four of its standard errors."""
    size = abs(float(np.sum(lean)))
    return size if size > 4 * float(np.std(lean)) * math.sqrt(len(lean)) else 0.0


@dataclass(frozen=True)
class Misshapen:
    """A structure that no accepted side has: which, how much of it, what is allowed, what the accepted sides have (relative), its cause."""

    metric: str
    measured: float
    bound: float
    accepted: float
    cause: Cause


def misshapen(output: Output, sized: Sized, u: float, chain: int) -> Misshapen | None:
    """Return the structure by which the candidate's error stands out most; None when it does not.

    `u` is the roundoff of the output's dtype, `chain` the number of terms in the longest sum of the computation.
    """
    if output.golden.size < FEWEST or sized.error.rms <= _GATE * sized.own.rms or not math.isfinite(sized.error.rms + sized.own.rms):
        return None
    golden = output.golden.astype(np.float64)
    if not np.isfinite(golden).all():
        return None
    ours, *theirs = (structure_of(side - golden, golden) for side in (output.candidate, *output.accepted))
    sums = 2 * ARITHMETIC * math.sqrt(max(chain - 1, 0) / 6)
    found = []
    for metric, floor, cause in (("rows", _ROWS, Cause.STATISTIC), ("columns", _ROWS, Cause.STATISTIC), ("bias", _BIAS, Cause.ROUNDING)):
        accepted = max(getattr(side, metric) for side in theirs)
        bound, measured = max(RATIO * accepted, floor * u + sums), getattr(ours, metric)
        if measured > bound:
            found.append(Misshapen(metric, measured, bound, accepted, cause))
    if found and found[-1].cause is Cause.ROUNDING and 2 * found[-1].measured > found[0].measured:
        return found[-1]  # what leans to one side shows in rows and columns too
    return max(found, key=lambda f: f.measured / f.bound, default=None)


def leaning(outputs: Sequence[tuple[Output, Sized]], u: float, chain: int) -> Misshapen | None:
    """Return the bias that many small outputs of one dtype have in common, each a row; None where there is none to speak of."""
    rows: list[list[tuple[float, float, float]]] = []
    rms = np.zeros(2)
    for output, sized in outputs:
        golden = output.golden.astype(np.float64)
        if not (np.isfinite(golden).all() and sized.signal.rms and math.isfinite(sized.error.rms + sized.accepted[0].rms)):
            continue
        rms += golden.size * np.array([sized.error.rms, sized.accepted[0].rms]) ** 2
        weight = np.sign(golden) / sized.signal.rms
        total = float(np.sum(np.abs(golden))) / sized.signal.rms
        rows.append([(float(np.sum((side - golden) * weight)), total, golden.size) for side in (output.candidate, output.accepted[0])])
    if len(rows) < _LINES or sum(row[0][2] for row in rows) < FEWEST or rms[0] <= _GATE**2 * rms[1]:
        return None
    figures = []
    for side in range(2):
        lean = np.array([row[side][0] for row in rows])
        figures.append(_beyond_chance(lean) / sum(row[side][1] for row in rows))
    bound = max(RATIO * figures[1], _BIAS * u + 2 * ARITHMETIC * math.sqrt(max(chain - 1, 0) / 6))
    return Misshapen("bias", figures[0], bound, figures[1], Cause.ROUNDING) if figures[0] > bound else None


def cause_of(output: Output, bound: float) -> Cause:
    """Say what the shape of an error that is too large tells of its cause; `bound` is what one element may be off, relative."""
    e, g, rms = _where_finite(output)
    if not np.isfinite(e).all():
        return Cause.SPECIAL
    bad = np.abs(e) / (np.abs(g) + rms) > bound
    energy = float(np.sum(e * e))
    share = float(np.count_nonzero(bad)) / bad.size
    if bad.any() and share <= 0.5 and float(np.sum(e[bad] ** 2)) > 0.9 * energy:
        return Cause.TAIL if _blocked(bad) else Cause.SPARSE if share <= 0.05 else _spread(e, g, energy, rms)
    return _spread(e, g, energy, rms)


def _where_finite(output: Output) -> tuple[np.ndarray, np.ndarray, float]:
    """Return error and golden, zero where the golden is not finite, and the golden's rms (1 if that is 0)."""
    golden = output.golden.astype(np.float64)
    finite = np.isfinite(golden)
    with np.errstate(invalid="ignore", over="ignore"):
        e = np.where(finite, output.candidate.astype(np.float64) - golden, 0.0)
    g = np.where(finite, golden, 0.0)
    return e, g, math.sqrt(float(np.mean(g * g))) or 1.0


def cause_of_few(output: Output, bound: float) -> Cause:
    """Say what it tells that few elements are wrong, too few to show in the rms: where they lie."""
    e, g, rms = _where_finite(output)
    bad = ~(np.abs(e) / (np.abs(g) + rms) <= bound)
    return Cause.TAIL if bad.any() and _blocked(bad) else Cause.SPARSE


def _blocked(bad: np.ndarray) -> bool:
    """Whether the bad elements fill the end of a dimension, or whole slices of one, and leave the rest alone."""
    for axis in range(bad.ndim):
        if bad.shape[axis] < 2:
            continue
        others = tuple(a for a in range(bad.ndim) if a != axis)
        filled = bad.mean(axis=others) if others else bad.astype(float)
        hit = filled > 0
        if hit.mean() <= 0.5 and filled[hit].mean() > 0.5 and (hit[-1] or _runs(hit) * 4 <= np.count_nonzero(hit)):
            return True
    return False


def _runs(hit: np.ndarray) -> int:
    return int(hit[0]) + int(np.count_nonzero(hit[1:] & ~hit[:-1]))


def _spread(e: np.ndarray, g: np.ndarray, energy: float, rms: float) -> Cause:
    """Name the cause of an error that is everywhere."""
    relative = math.sqrt(energy / e.size) / rms
    if relative > 0.03:
        return Cause.VALUES
    lean = float(np.sum(e * np.sign(g))) ** 2 / (e.size * energy) if energy else 0.0
    whole = _explained(e.reshape(1, -1), g.reshape(1, -1))
    if lean > 0.4 and whole < 0.98 and np.unique(g).size >= _DISTINCT:
        return Cause.ROUNDING
    explained = max(_explained(_as_rows(e), _as_rows(g)), _explained(_as_rows(e).T, _as_rows(g).T)) if e.size >= 64 else 0.0
    return Cause.STATISTIC if explained > 0.6 else Cause.PRECISION


def _explained(e: np.ndarray, g: np.ndarray) -> float:
    """The share of the error's energy that one factor a row explains."""
    power = np.sum(g * g, axis=1)
    if e.shape[1] < 4:
        return 0.0
    factor = np.divide(np.sum(e * g, axis=1), power, out=np.zeros_like(power), where=power > 0)
    return float(np.sum(factor * factor * power) / np.sum(e * e)) if e.any() else 0.0
