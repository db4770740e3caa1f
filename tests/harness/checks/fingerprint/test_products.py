"""Bits of operands and sums, read from what imagined devices answer."""

from collections.abc import Callable

import numpy as np
import pytest

from harness.checks.fingerprint.fact import DIGITS
from harness.checks.fingerprint.products import digits_kept, exponent, operand_values, rounding_terms, small_term, sum_terms
from harness.checks.fingerprint.rounding import fused_operands
from harness.verdict import Cause, Outcome
from tests.harness.checks.fingerprint.read import findings, recording


def to_digits(x: np.ndarray, digits: int) -> np.ndarray:
    mantissa, power = np.frexp(x)
    return np.ldexp(np.round(mantissa * 2.0**digits) / 2.0**digits, power)


def operands(digits: int, multiply: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """What a device answers whose products of two arrays are `multiply`."""
    values = operand_values(digits)
    low = values[0]
    e = exponent("float32")
    return {
        "left": multiply(values.ravel()[:, None], np.ones((1, 4))),
        "right": multiply(np.ones((1, 4)), values.ravel()[:, None]),
        "cross": multiply(low[:, None], low[None, :]),
        "range": multiply(np.array([2.0**e]), np.array([2.0**-e])),
    }


def pieces(x: np.ndarray, count: int) -> list[np.ndarray]:
    found = []
    for _ in range(count):
        found.append(to_digits(x, 8))
        x = x - found[-1]
    return found


def two_pieces(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    (a1, a2), (b1, b2) = pieces(a, 2), pieces(b, 2)
    return to_digits(a1 * b1 + a1 * b2 + a2 * b1, 24)


def three_pieces(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    (a1, a2, a3), (b1, b2, b3) = pieces(a, 3), pieces(b, 3)
    return to_digits(a1 * b1 + a1 * b2 + a2 * b1 + a2 * b2 + a1 * b3 + a3 * b1, 24)


def coarse(digits: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda a, b: to_digits(to_digits(a, digits) * to_digits(b, digits), 24)


@pytest.mark.parametrize(
    ("multiply", "bits", "words"),
    [
        (coarse(24), 24, "all bits"),
        (three_pieces, 24, "all bits"),
        (coarse(12), 12, "12 of 24 bits, as HF32"),
        (coarse(11), 11, "11 of 24 bits, as TF32 or float16"),
        (coarse(8), 8, "8 of 24 bits, as bfloat16"),
        (two_pieces, 16, "16 of 24 bits, two bfloat16 pieces"),
    ],
)
def test_the_bits_of_operands(multiply: Callable[[np.ndarray, np.ndarray], np.ndarray], bits: int, words: str) -> None:
    found = findings("convolution", recording(operands(24, multiply), allowed=[]))["operands"]
    assert found.measured == bits
    assert found.answer == words
    assert found.outcome is (Outcome.PASS if bits == 24 else Outcome.FAIL)
    assert found.cause is (None if bits == 24 else Cause.PRECISION)


def test_what_the_program_allowed_is_told_and_passes() -> None:
    found = findings("convolution", recording(operands(24, coarse(12)), allowed=["conv.allow_hf32"]))["operands"]
    assert found.outcome is Outcome.PASS
    assert found.answer == "12 of 24 bits, as HF32, allowed by conv.allow_hf32"


def test_one_wrong_column_counts() -> None:
    answers = operands(24, coarse(24))
    answers["left"][20, 3] = 0
    assert findings("convolution", recording(answers, allowed=[]))["operands"].outcome is Outcome.FAIL


def test_the_range_of_float16_is_noticed() -> None:
    answers = operands(24, coarse(24)) | {"range": np.array([np.nan])}
    found = findings("convolution", recording(answers, allowed=[]))["range"]
    assert (found.outcome, found.cause) == (Outcome.FAIL, Cause.PRECISION)


def test_values_need_the_digits_that_they_are_to_show() -> None:
    for digits in DIGITS.values():
        for row in operand_values(digits):
            needed = [next(d for d in range(1, 30) if to_digits(np.array(v), d) == v) for v in row]
            assert max(needed) in (digits, digits - 1)  # 1.0101... ends with a 0 at every second place
            assert needed == sorted(needed)


def test_digits_are_counted_up_to_the_first_that_is_lost() -> None:
    assert digits_kept(np.array([1.0, 2.0, 9.0, 4.0]), np.array([1.0, 2.0, 3.0, 4.0])) == 3
    assert digits_kept(np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([1.0, 2.0])) == 2


def add_up(terms: np.ndarray, digits: int, how: Callable[[np.ndarray], np.ndarray] = np.round) -> np.ndarray:
    """Sum along the last axis, one by one, in an accumulator of so many digits."""
    total = np.zeros(terms.shape[:-1])
    for i in range(terms.shape[-1]):
        exact = total + terms[..., i]
        mantissa, power = np.frexp(exact)
        total = np.ldexp(how(mantissa * 2.0**digits) / 2.0**digits, power)
    return total


def sums(dtype: str, digits: int, how: Callable[[np.ndarray], np.ndarray] = np.round) -> dict[str, np.ndarray]:
    big, small = sum_terms(dtype)
    terms = np.stack([np.full_like(small, big), small, np.full_like(small, -big)], 1)
    many = np.array([[big, *[small_term(dtype)] * 62, -big]])
    kept = add_up(terms, digits, how)[:, None]
    a, c, _ = fused_operands(DIGITS[dtype])
    product = add_up(np.array([[-c, a * a]]), digits, how)
    rounded = add_up(rounding_terms(dtype).reshape(-1, 4), digits, how)[:, None]
    return {
        "near": kept, "far": kept, "many": add_up(many, digits, how), "rounding": rounded, "product_last": product,
        "product_first": product * 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "digits", "words", "outcome"),
    [
        ("float32", 24, "24 bits, float32", Outcome.PASS),
        ("bfloat16", 24, "24 bits, float32", Outcome.PASS),
        ("float16", 24, "24 bits, float32", Outcome.PASS),
        ("float32", 53, "53 bits, float64", Outcome.PASS),
        ("float16", 53, "29 bits or more", Outcome.PASS),
        ("bfloat16", 8, "8 bits, bfloat16", Outcome.FAIL),
        ("float16", 11, "11 bits, float16", Outcome.FAIL),
    ],
)
def test_the_bits_of_sums(dtype: str, digits: int, words: str, outcome: Outcome) -> None:
    found = findings("products", recording(sums(dtype, digits), dtype, allowed=[], small_terms=62))["sums"]
    assert (found.answer, found.outcome) == (words, outcome)


@pytest.mark.parametrize(
    ("dtype", "how", "words"),
    [
        ("float32", np.round, "nearest, ties to even"),
        ("float32", np.trunc, "toward zero"),
        ("float32", np.floor, "down"),
        ("bfloat16", np.round, "nearest"),
        ("float16", np.trunc, "toward zero"),
    ],
)
def test_the_rounding_of_sums(dtype: str, how: Callable[[np.ndarray], np.ndarray], words: str) -> None:
    answers = sums(dtype, 24, how)
    assert findings("products", recording(answers, dtype, allowed=[], small_terms=62))["rounding of sums"].answer == words


def test_bits_beyond_the_accumulator_inside_a_block_are_told() -> None:
    answers = sums("float32", 24) | {"near": sums("float32", 26)["near"]}
    assert findings("products", recording(answers, allowed=[], small_terms=62))["sums"].answer == "24 bits, float32; 26 among neighbours"


def test_small_terms_are_lost_in_float32_and_kept_in_float64() -> None:
    for digits, share in ((24, 0.0), (53, 100.0)):
        found = findings("products", recording(sums("float32", digits), allowed=[], small_terms=62))
        assert found["many small terms"].measured == pytest.approx(share)


def test_a_product_rounded_before_the_sum_is_told() -> None:
    answers = sums("float32", 24)
    assert (
        findings("products", recording(answers, allowed=[], small_terms=62))["products before the sum"].answer
        == "whole when added to a sum"
    )
    answers["product_last"] = answers["product_last"] * 0
    assert findings("products", recording(answers, allowed=[], small_terms=62))["products before the sum"].answer == "rounded"


def test_a_grossly_wrong_product_is_not_called_coarse() -> None:
    def doubled(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return 2 * a * b

    found = findings("convolution", recording(operands(24, doubled), allowed=[]))
    assert {found[name].cause for name in ("operands", "range")} == {Cause.VALUES}
