"""Tests of HiF8: against all 256 codes, read bit by bit as the format's table has them."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.inputs import draw_normal
from reference.oracles.hifloat8 import HIF8, LARGEST, LEAST, LEAST_NORMAL, hifloat8_bits, to_hifloat8

DOTS = {"11": 4, "10": 3, "01": 2, "001": 1, "0001": 0}


def decoded(code: int) -> Fraction | float:
    """Read one code: a prefix, a sign and the rest of the exponent's magnitude, a mantissa."""
    bits = f"{code:08b}"
    sign, rest = (-1 if bits[0] == "1" else 1), bits[1:]
    if rest.startswith("0000"):
        m = int(rest[4:], 2)
        return sign * Fraction(2) ** (m - 23) if m else (Fraction(0) if sign > 0 else float("nan"))
    dot = next(dot for dot in DOTS if rest.startswith(dot))
    rest, width = rest[len(dot) :], DOTS[dot]
    exponent, mantissa = rest[:width], rest[width:]
    power = int("1" + exponent[1:], 2) * (-1 if exponent[0] == "1" else 1) if width else 0
    if power == 15 and mantissa == "1":
        return sign * float("inf")
    return sign * Fraction(2) ** power * (1 + Fraction(int(mantissa, 2), 2 ** len(mantissa)))


CODES = {code: decoded(code) for code in range(256)}
FINITE = {code: number for code, number in CODES.items() if isinstance(number, Fraction)}


def nearest(x: float) -> float:
    """Return the nearest number, ties away from zero; what would round to 1.5 * 2^15 is infinite."""
    beyond = Fraction(3, 2) * 2**15
    exact = Fraction(x)
    best = min([*FINITE.values(), beyond, -beyond], key=lambda number: (abs(number - exact), -abs(number)))
    return float(best) if abs(best) < beyond else float("inf") * (1 if x > 0 else -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_code_is_itself(dtype) -> None:
    numbers = torch.tensor([float(number) for number in CODES.values()], dtype=dtype)
    assert torch.equal(to_hifloat8(numbers).nan_to_num(7e7), numbers.nan_to_num(7e7))
    assert hifloat8_bits(numbers).tolist() == list(CODES)


def test_there_are_two_infinities_one_nan_one_zero_and_the_ends_are_where_they_should_be() -> None:
    positive = sorted(number for number in FINITE.values() if number > 0)
    assert (len(FINITE), len(positive)) == (253, 126)
    assert (positive[0], positive[-1]) == (LEAST, LARGEST)
    assert positive[7] == LEAST_NORMAL
    assert (CODES[0x6F], CODES[0xEF]) == (float("inf"), -float("inf"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_midpoints_go_away_from_zero_and_their_neighbours_to_the_nearest(dtype) -> None:
    numbers = sorted(number for number in FINITE.values() if number >= 0)
    middles = torch.tensor([float((low + high) / 2) for low, high in pairwise(numbers)], dtype=dtype)
    above = torch.tensor([float(number) for number in numbers[1:]], dtype=dtype)
    below = torch.tensor([float(number) for number in numbers[:-1]], dtype=dtype)
    assert torch.equal(to_hifloat8(middles), above)
    assert torch.equal(to_hifloat8(-middles), -above)
    assert torch.equal(to_hifloat8(torch.nextafter(middles, torch.zeros_like(middles))), below)


@settings(deadline=None, max_examples=60)
@given(st.floats(-1e5, 1e5, width=32) | st.floats(-(2.0**-14), 2.0**-14, width=32))
def test_rounds_to_the_nearest_of_all_codes(x) -> None:
    assert to_hifloat8(torch.tensor([x])).item() == nearest(x)


def test_what_lies_beyond_is_infinite_what_is_tiny_is_zero_and_zero_has_no_sign() -> None:
    x = torch.tensor([1.25 * LARGEST, -1e30, 1.24 * LARGEST, 2.0**-23, 0.99 * 2.0**-23, -1e-40, -0.0, float("inf"), float("nan")])
    found = to_hifloat8(x)
    assert found[:6].tolist() == [float("inf"), -float("inf"), LARGEST, LEAST, 0.0, 0.0]
    assert hifloat8_bits(found).tolist() == [0x6F, 0xEF, 0x6E, 0x01, 0, 0, 0, 0x6F, 0x80]


def test_float64_gives_the_same_bits() -> None:
    x = torch.from_numpy(draw_normal(0, "size", 4096) * 2.0 ** (8 * draw_normal(0, "power", 4096))).float()
    assert torch.equal(hifloat8_bits(to_hifloat8(x)), hifloat8_bits(to_hifloat8(x.double())))


def test_a_round_trip_keeps_dtype_and_shape():
    x = torch.tensor([[1.05, -0.3], [0.0, 3e4]]).bfloat16()
    assert HIF8.round_trip(x).dtype is torch.bfloat16
    assert torch.equal(HIF8.round_trip(x).float(), to_hifloat8(x.float()))
