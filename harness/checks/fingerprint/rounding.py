"""Which way a device rounds, in casts, additions and sums, and whether it fuses. Knows no operator by more than its name.

A value between two neighbours of a format is q = sign * (base + fraction) units in the last place away from a power of two: base 0 is an
even neighbour, 1 an odd one. Every rounding rule gives another pattern over the twelve values of `QUANTA`, so the pattern names the rule.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from harness.checks.fingerprint.fact import DIGITS, Fact, Reading, dtype_of
from harness.recording import Recording

COPIES = 64  # of each value: a rule that draws lots would have to draw the same 63 times

#: [12, 3]: sign, base and fraction of each value.
QUANTA = np.array([(sign, base, part) for sign in (1, -1) for base in (0, 1) for part in (0.25, 0.5, 0.75)])


def _rules() -> Mapping[str, np.ndarray]:
    """Return what each rule makes of the twelve values, in units in the last place."""
    sign, size = QUANTA[:, 0], QUANTA[:, 1] + QUANTA[:, 2]
    odd = np.floor(size) + (np.floor(size) % 2 == 0)
    found = {
        "nearest, ties to even": np.round(size), "nearest, ties away from zero": np.floor(size + 0.5),
        "nearest, ties toward zero": np.ceil(size - 0.5), "toward zero": np.floor(size), "away from zero": np.ceil(size),
        "to odd": odd,
    }  # fmt: skip
    found = {name: sign * value for name, value in found.items()}
    return {**found, "down": np.floor(sign * size), "up": np.ceil(sign * size), "not rounded": sign * size}


RULES = _rules()


def rule_of(units: np.ndarray) -> str:
    """Name the rule that gave these [12] results, or [copies, 12] of them, in units in the last place away from the power of two."""
    rows = units.reshape(-1, len(QUANTA))
    if (rows != rows[0]).any():
        return "stochastic: equal operands round differently"
    names = [name for name, value in RULES.items() if np.array_equal(value, rows[0])]
    return names[0] if names else f"by no known rule ({', '.join(f'{value:g}' for value in rows[0])})"


def fused_operands(digits: int) -> tuple[float, float, float]:
    """Return a, c, r with r = a * a - c exactly, while a * a rounds to c in `digits` binary digits: r survives only in a fused product.

    a = s (1 + 2^-h) with 2h >= digits, so that a * a = s^2 (1 + 2^(1-h) + 2^(-2h)) needs one more digit than there is. s keeps r normal.
    """
    half, scale = {24: 12, 11: 10, 8: 7}[digits], 16.0
    return scale * (1 + 2.0**-half), scale**2 * (1 + 2.0 ** (1 - half)), scale**2 * 2.0 ** (-2 * half)


def from_power(values: np.ndarray, anchor: float, unit: float) -> np.ndarray:
    """Return how far values lie from plus or minus `anchor` (each by its own sign in QUANTA), in units of `unit`."""
    return (values.astype(np.float64) - QUANTA[:, 0] * anchor) / unit


def _cast(recording: Recording) -> Sequence[Fact]:
    name = dtype_of(recording)
    source, anchor, unit = ("int32", 2.0**25, 4.0) if name == "float32" else ("float32", 1.0, 2.0 ** (1 - DIGITS[name]))
    return [Fact(f"cast from {source}", rule_of(from_power(recording.tensors["cast"], anchor, unit)))]


def _add(recording: Recording) -> Sequence[Fact]:
    unit = 2.0 ** (1 - DIGITS[dtype_of(recording)])
    return [Fact("addition", rule_of(from_power(recording.tensors["add"], 1.0, unit)))]


def _fused(recording: Recording) -> Sequence[Fact]:
    exact = fused_operands(DIGITS[dtype_of(recording)])[2]
    found = {name: recording.tensors[name] for name in ("addcmul", "lerp")}
    words = [f"{name} {'whole' if (value == exact).all() else 'rounded' if not value.any() else 'other'}" for name, value in found.items()]
    same = {text.split()[1] for text in words}
    return [Fact("product before an addition", same.pop() if len(same) == 1 else ", ".join(words))]


READINGS = (Reading(("cast",), _cast), Reading(("add",), _add), Reading(("addcmul", "lerp"), _fused))
