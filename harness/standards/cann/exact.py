"""Outputs that are no floating result: moved, integer and quantised ones (4.2 to 4.4, 5.3.2). Knows no reference device."""

from enum import StrEnum

import numpy as np

from harness.standards.cann.thresholds import QUANTISED_STEP


class Kind(StrEnum):
    """The four classes of operators, and random numbers, which are apart (5.3.2)."""

    MOVED = "moved"  # transpose, gather, copy, cast
    INTEGER = "integer"  # integers in, integers out
    QUANTISED = "quantised"  # between integers and floats
    FLOATING = "floating"
    RANDOM = "random"


def rule_for(kind: Kind, floating_input: bool, floating_output: bool) -> str:
    """Return `bitwise`, `equal`, `step` or `floating`: what an output of an operator of this class is held to (4.1 to 4.5).

    Random numbers have none: see `randomness`.
    """
    if kind is Kind.MOVED:
        return "bitwise"
    if kind is Kind.INTEGER:
        return "equal"
    if kind is Kind.QUANTISED and floating_input and not floating_output:
        return "step"
    if kind is Kind.QUANTISED and not floating_input and not floating_output:
        raise ValueError("the standard knows no quantised operator with integers on both sides (4.4)")
    if kind is Kind.RANDOM:
        raise ValueError("random numbers have no expected value; compare their distribution")
    return "floating"


def bitwise(actual: np.ndarray, golden: np.ndarray) -> int:
    """Count elements whose bits differ (4.2), -0 and 0 among them; the golden is first brought to the dtype of `actual`."""
    if actual.shape != golden.shape:
        return max(actual.size, golden.size)
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = golden.astype(actual.dtype)
    bits = f"u{actual.dtype.itemsize}"
    different = np.ascontiguousarray(actual).view(bits) != np.ascontiguousarray(wanted).view(bits)
    if np.issubdtype(actual.dtype, np.floating):
        different &= ~(np.isnan(actual) & np.isnan(wanted))  # a NaN's payload is nobody's promise
    return int(np.count_nonzero(different))


def unequal(actual: np.ndarray, golden: np.ndarray) -> int:
    """Count elements whose values differ (4.3: an absolute error of 0 passes whatever the bits are)."""
    if actual.shape != golden.shape:
        return max(actual.size, golden.size)
    return int(np.count_nonzero(actual != golden))


def beyond_a_step(actual: np.ndarray, golden: np.ndarray) -> int:
    """Count elements of a quantised integer output that are off by more than one (4.4)."""
    if actual.shape != golden.shape:
        return max(actual.size, golden.size)
    return int(np.count_nonzero(~(np.abs(actual.astype(np.float64) - golden.astype(np.float64)) <= QUANTISED_STEP)))
