"""How many bits matrix products and convolutions keep, of operands and of sums. Knows no device and no library.

Operands: (1 + 2^-k) * 1 for every k, and numbers with the digits 1.0101... cut after k of them; the first k that does not come back tells
how many digits an operand keeps. Sparse values alone would pass through a sum of two bfloat16 pieces, dense ones do not; nor does the
product of two low parts, (1 + 2^-k)(1 + 2^-j), where the pieces' smallest product is left out. A float32 product that takes its operands
in HF32 or TF32 keeps 11 or 12 of 24 digits, exactly and without any statistics.

Sums: big + small - big, in one place and spread over the length of the sum, keeps `small` as long as the accumulator has the digits
(Fasi, Higham, Mikaitis, Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ CS 2021). The order of a sum is the device's own, so
what is told is the least that was kept; how it rounds is told where the answers fit one rule.

What is promised: operands keep their dtype's digits, and sums the 24 of float32 (PyTorch's accumulation type of float32, bfloat16 and
float16), unless the program allowed less; the recording says what it allowed.
"""

from collections.abc import Sequence

import numpy as np

from harness.checks.fingerprint.fact import DIGITS, Fact, Reading, allowed, dtype_of
from harness.checks.fingerprint.rounding import QUANTA, fused_operands, rule_of
from harness.recording import Recording
from harness.verdict import Cause

WIDTHS = (8, 11, 24)  # accumulators whose rounding is probed: bfloat16, float16, float32
_LIKE = {8: ", as bfloat16", 11: ", as TF32 or float16", 12: ", as HF32", 16: ", two bfloat16 pieces", 17: ", two bfloat16 pieces"}
_FEWEST = 3  # digits of the coarsest type that products are made in, float8_e5m2; what keeps fewer is wrong, not coarse
_NAMES = {8: "bfloat16", 11: "float16", 24: "float32", 53: "float64"}


def operand_values(digits: int) -> np.ndarray:
    """Return [2, digits - 1] values that need 2, 3, ... `digits` binary digits: 1 + 2^-k, and 1.0101... cut after k digits."""
    k = np.arange(1, digits)
    return np.stack([1 + 2.0**-k, np.floor(2.0**k * (4 / 3)) / 2.0**k])


def exponent(dtype: str) -> int:
    """Return e for which 2^e and 2^-e are normal in `dtype`, and far beyond float16 where the dtype is."""
    return 14 if dtype == "float16" else 100


def sum_terms(dtype: str) -> tuple[float, np.ndarray]:
    """Return `big`, and the small terms big * 2^-k, k = 1, 2, ..., down to what the dtype holds as a normal number, or past float64."""
    big, count = (2.0**14, 28) if dtype == "float16" else (1.0, 56)
    return big, big * 2.0 ** -np.arange(1, count + 1)


def small_term(dtype: str) -> float:
    """Return a term that float32 loses when it is added to `big`, but not when many are added to each other first."""
    return sum_terms(dtype)[0] * 2.0**-25


def rounding_terms(dtype: str) -> np.ndarray:
    """Return [3 widths, 12 quanta, 4] terms whose sum is q units in the last place of an accumulator, q as in QUANTA.

    The odd neighbour is one term where the dtype holds it, and two where the accumulator is wider than the dtype.
    """
    big, sign, base, part = sum_terms(dtype)[0], *QUANTA.T
    rows = []
    for width in WIDTHS:
        unit = big * 2.0 ** (1 - width)
        one, two = (base * unit, 0 * base) if width <= DIGITS[dtype] else (0 * base, base * unit)
        rows.append(np.stack([sign * (big + one), sign * two, sign * part * unit, -sign * big], axis=1))
    return np.array(rows)


def digits_kept(values: np.ndarray, wanted: np.ndarray) -> int:
    """Return how many digits survived: 1 + the count of leading rows [k, ...] of `values` that equal wanted[k] throughout."""
    right = (values == wanted.reshape(-1, *[1] * (values.ndim - 1))).reshape(len(wanted), -1).all(axis=1)
    return 1 + (len(right) if right.all() else int(np.argmin(right)))


def _low_parts(cross: np.ndarray, digits: int) -> int:
    """Return the digits that products (1 + 2^-k)(1 + 2^-j), [k, j], keep: of those that need so many, all come back."""
    k = np.arange(1, digits)
    wanted = np.outer(1 + 2.0**-k, 1 + 2.0**-k)
    need = k[:, None] + k[None, :] + 1
    lost = need[(cross != wanted) & (need <= digits)]
    return digits if not lost.size else int(lost.min()) - 1


def _operands(recording: Recording) -> Sequence[Fact]:
    digits = DIGITS[dtype_of(recording)]
    values, count = operand_values(digits), digits - 1
    sides = [recording.tensors[name] for name in ("left", "right")]
    sparse = min(digits_kept(side[:count], values[0]) for side in sides)
    dense = min(digits_kept(side[count:], values[1]) for side in sides)
    low = _low_parts(recording.tensors["cross"], digits)
    least = min(sparse, dense, low)
    told = f"1 + 2^-k keeps {sparse}, 1.0101... {dense}, the product of two low parts {low}"
    words = "all bits" if least == digits else f"{least} of {digits} bits{_LIKE.get(least, '')}"
    cause = Cause.PRECISION if least >= _FEWEST else Cause.VALUES
    return [_promised(recording, "operands", words, f"operands keep {least} of {digits} bits ({told})", least, digits, cause)]


def _promised(recording: Recording, subject: str, words: str, broken: str, kept: int, wanted: int, cause: Cause = Cause.PRECISION) -> Fact:
    """Return a fact on bits that are promised unless the program allowed fewer."""
    if kept >= wanted:
        return Fact(subject, words, float(kept), float(wanted), "bits")
    if coarser := allowed(recording):
        return Fact(subject, f"{words}, allowed by {coarser}", float(kept), float(wanted), "bits")
    return Fact(subject, words, float(kept), float(wanted), "bits", f"{broken}, and nothing coarser was allowed", cause)


def _range(recording: Recording) -> Sequence[Fact]:
    """Tell whether 2^e * 2^-e is 1, for exponents that float16 has not."""
    values = recording.tensors["range"]
    whole, e = bool((values == 1).all()), exponent(dtype_of(recording))
    words = "all exponents" if whole else f"narrower: 2^{e} · 2^-{e} = {float(values[values != 1].flat[0]):.3g}"
    there = values[np.isfinite(values) & (values != 0)]  # a narrower type makes infinity or zero of them
    cause = Cause.PRECISION if (there == 1).all() else Cause.VALUES
    return [_promised(recording, "range", words, "operands do not have the range of their dtype", int(whole), 1, cause)]


def _width(recording: Recording) -> tuple[int, int]:
    """Return the digits that a sum keeps: at least, and of neighbouring terms."""
    small = sum_terms(dtype_of(recording))[1]
    near, far = (digits_kept(recording.tensors[name], small) for name in ("near", "far"))
    return min(near, far), near


def _sums(recording: Recording) -> Sequence[Fact]:
    least, near = _width(recording)
    most = len(sum_terms(dtype_of(recording))[1]) + 1
    words = f"{least} bits or more" if least == most else f"{least} bits" + (f", {_NAMES[least]}" if least in _NAMES else "")
    words += f"; {near} among neighbours" if near > least else ""
    return [_promised(recording, "sums", words, f"sums keep {least} bits where float32, in which PyTorch sums, has 24", least, 24)]


def _sum_rounding(recording: Recording) -> Sequence[Fact]:
    least, dtype = _width(recording)[0], dtype_of(recording)
    if least not in WIDTHS:
        return [Fact("rounding of sums", f"not probed for {least} bits")]
    values = recording.tensors["rounding"].reshape(len(WIDTHS), len(QUANTA), -1)[WIDTHS.index(least)]
    unit = sum_terms(dtype)[0] * 2.0 ** (1 - least)
    names = {rule_of(column / unit) for column in values.T}
    if least > DIGITS[dtype]:  # of an odd neighbour in two terms, in another order, another tie is broken
        names = {name.split(",")[0] for name in names}
    told = next(iter(names)) if len(names) == 1 else ""
    return [Fact("rounding of sums", told if told and not told.startswith("by no") else "depends on the order of terms")]


def _many(recording: Recording) -> Sequence[Fact]:
    """How much of many terms, each too small to be added to the big one, survives: none in a plain float32 sum, all in float64."""
    values, terms = recording.tensors["many"], recording.details["small_terms"]
    share = float(np.median(values)) / (float(terms) * small_term(dtype_of(recording)))
    return [Fact("many small terms", f"{100 * share:.0f} % survive", 100 * share, unit="%")]


def _whole(recording: Recording) -> Sequence[Fact]:
    exact = fused_operands(DIGITS[dtype_of(recording)])[2]
    first, last = (bool((recording.tensors[name] == exact).all()) for name in ("product_last", "product_first"))
    words = {(True, True): "whole", (True, False): "whole when added to a sum", (False, True): "whole when it comes first"}
    return [Fact("products before the sum", words.get((first, last), "rounded"))]


OPERANDS = (Reading(("left", "right", "cross"), _operands), Reading(("range",), _range))
READINGS = (
    *OPERANDS,
    Reading(("near", "far"), _sums),
    Reading(("near", "far", "rounding"), _sum_rounding),
    Reading(("many",), _many),
    Reading(("product_last", "product_first"), _whole),
)
