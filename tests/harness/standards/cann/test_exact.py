"""Moved, integer and quantised outputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.standards.cann.exact import Kind, beyond_a_step, bitwise, rule_for, unequal

NUMBERS = np.array([0.0, 1.5, -2.0, np.inf, np.nan], dtype=np.float32)


def test_moved_data_are_the_same_bits() -> None:
    assert bitwise(NUMBERS, NUMBERS.astype(np.float64)) == 0
    assert bitwise(np.array([-0.0], dtype=np.float32), np.array([0.0])) == 1
    assert bitwise(np.nextafter(NUMBERS[1:2], np.float32(2)), NUMBERS[1:2].astype(np.float64)) == 1


def test_another_shape_is_wrong_in_every_element() -> None:
    for rule in (bitwise, unequal, beyond_a_step):
        assert rule(np.zeros(3, dtype=np.int32), np.zeros((2, 2), dtype=np.int32)) == 4


def test_integers_are_equal_and_an_error_of_zero_passes_in_any_type() -> None:
    assert unequal(np.array([1, 2], dtype=np.int32), np.array([1, 2], dtype=np.int64)) == 0
    assert unequal(np.array([1, 3], dtype=np.int32), np.array([1, 2], dtype=np.int64)) == 1


@pytest.mark.parametrize(("off", "wrong"), [(0, 0), (1, 0), (-1, 0), (2, 1)])
def test_a_quantised_integer_may_be_off_by_one(off: int, wrong: int) -> None:
    assert beyond_a_step(np.array([5 + off], dtype=np.int8), np.array([5], dtype=np.int8)) == wrong


def test_the_ends_of_int8_do_not_wrap() -> None:
    assert beyond_a_step(np.array([127], dtype=np.int8), np.array([-128], dtype=np.int8)) == 1


@pytest.mark.parametrize(("kind", "floating_in", "floating_out", "rule"), [
    (Kind.MOVED, True, True, "bitwise"), (Kind.INTEGER, False, False, "equal"), (Kind.QUANTISED, True, False, "step"),
    (Kind.QUANTISED, True, True, "floating"), (Kind.QUANTISED, False, True, "floating"), (Kind.FLOATING, True, True, "floating"),
])  # fmt: skip
def test_each_class_has_its_rule(kind: Kind, floating_in: bool, floating_out: bool, rule: str) -> None:
    assert rule_for(kind, floating_in, floating_out) == rule


@pytest.mark.parametrize("kind", [Kind.QUANTISED, Kind.RANDOM])
def test_what_the_standard_has_no_rule_for_is_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match=r"standard knows no|random numbers"):
        rule_for(kind, False, False)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20), st.integers(0, 19))
def test_one_wrong_integer_is_found_wherever_it_is(numbers: list[int], at: int) -> None:
    golden = np.array(numbers, dtype=np.int32)
    actual = golden.copy()
    actual[at % len(numbers)] ^= 1
    assert unequal(actual, golden) == bitwise(actual, golden) == 1
    assert beyond_a_step(actual, golden) == 0
