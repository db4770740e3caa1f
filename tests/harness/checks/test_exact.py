"""Integers, booleans and quantised values, exactly."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks.exact import Exact
from harness.verdict import Cause, Finding, Outcome
from tests.harness.checks.build import evidence, recording


def judged(device: np.ndarray, golden: np.ndarray, dtype: str = "float32", only: tuple[str, ...] = ("*",)) -> list[Finding]:
    reference = device if device.dtype.kind != golden.dtype.kind else golden.astype(device.dtype)
    return Exact(only)(evidence({"q": device}, {"q": reference}, {"q": golden}, dtype))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-128, 127), min_size=1, max_size=9), st.data())
def test_one_integer_that_differs_is_found_and_its_place_named(values: list[int], data: st.DataObject) -> None:
    golden = np.array(values, dtype=np.int64)
    assert judged(golden.copy(), golden)[0].outcome is Outcome.PASS
    at = data.draw(st.integers(0, len(values) - 1))
    device = golden.copy()
    device[at] += 1
    (found,) = judged(device, golden, "int64")
    assert (found.outcome, found.measured, found.where, found.cause) == (Outcome.FAIL, 1.0, f"index [{at}]", Cause.INTEGERS)


def test_a_wrong_index_of_real_numbers_is_a_wrong_choice() -> None:
    assert judged(np.array([1, 0]), np.array([0, 1]), "float32")[0].cause is Cause.CHOICE
    assert judged(np.array([1, 0], dtype=np.int8), np.array([0, 1], dtype=np.int8), "float32")[0].cause is Cause.INTEGERS


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ([5, 0, 2**24, 300], Cause.INTEGERS),  # taken through float32
        ([5, 0, 2**24 + 1, 300 - 256], Cause.INTEGERS),  # wrapped to a byte
        ([5, 1, 2**24 + 1, 2**31 - 1], Cause.INTEGERS),  # saturated, and off by one
        ([5 + 2**29, 0, 2**24 + 1, 300], Cause.INTEGERS),  # one bit
        ([71, 99, 17, -44], Cause.VALUES),
    ],
)
def test_the_cause_of_wrong_integers_is_what_a_machine_makes_of_integers_or_what_the_shape_tells(wrong: list[int], cause: Cause) -> None:
    golden = np.array([5, 0, 2**24 + 1, 300], dtype=np.int32)
    assert judged(np.array(wrong, dtype=np.int32), golden, "int32")[0].cause is cause


def test_a_wrong_index_among_integers_is_a_wrong_choice() -> None:
    golden = {"0.1": np.array([0, 1]), "0.1~picked0": np.array([5, 4])}
    device = {"0.1": np.array([0, 2]), "0.1~picked0": np.array([5, 3])}
    found = Exact()(evidence(device, golden, golden, "int32"))
    assert [f.cause for f in found if f.outcome is Outcome.FAIL] == [Cause.CHOICE]


def test_what_the_reference_device_has_too_is_no_fault() -> None:
    found = Exact()(evidence({"q": np.array([5])}, {"q": np.array([5])}, {"q": np.array([4])}, "int64"))
    assert found[0].outcome is Outcome.PASS


@pytest.mark.parametrize(("dtype", "outcome"), [("float32", Outcome.PASS), ("uint8", Outcome.FAIL)])
def test_what_an_accepted_form_of_real_numbers_has_too_is_no_fault(dtype: str, outcome: Outcome) -> None:
    made = evidence({"q": np.array([5, 6])}, {"q": np.array([4, 6])}, {"q": np.array([4, 6])}, dtype)
    assert Exact()(made)[0].outcome is Outcome.FAIL
    form = recording({"q": np.array([5, 7])})
    assert Exact()(replace(made, accepted=(form,)))[0].outcome is outcome


def test_booleans_and_scalars_are_compared_too() -> None:
    assert judged(np.array([True, False]), np.array([True, True]))[0].outcome is Outcome.FAIL
    assert judged(np.array(3), np.array(3))[0].outcome is Outcome.PASS


def test_of_a_real_golden_any_rounding_to_nearest_is_right() -> None:
    golden = np.array([0.2, 0.5, 1.5, -2.5, 126.9])
    assert judged(np.array([0, 1, 1, -3, 127], dtype=np.int8), golden)[0].outcome is Outcome.PASS


@pytest.mark.parametrize(("dtype", "outcome"), [("float32", Outcome.FAIL), ("float16", Outcome.PASS), ("bfloat16", Outcome.PASS)])
def test_the_neighbour_is_right_only_as_near_to_a_tie_as_the_type_is_coarse(dtype: str, outcome: Outcome) -> None:
    found = judged(np.array([101], dtype=np.int8), np.array([100.45]), dtype)[0]
    assert found.outcome is outcome
    assert ("next to nearest" in found.message) == (outcome is Outcome.PASS)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [1.9, 100.9])
def test_truncation_is_no_rounding(dtype: str, value: float) -> None:
    assert judged(np.array([int(value)], dtype=np.int8), np.array([value]), dtype)[0].outcome is Outcome.FAIL


def test_another_shape_or_integer_type_is_a_matter_of_form() -> None:
    device, golden = np.arange(4), np.arange(4)
    assert judged(device.reshape(2, 2), golden)[0].cause is Cause.FORM
    found = Exact()(evidence({"q": device.astype(np.int32)}, {"q": device}, {"q": golden}))[0]
    assert (found.outcome, found.cause) == (Outcome.FAIL, Cause.FORM)


def test_without_a_golden_the_reference_says_what_is_right() -> None:
    assert Exact()(evidence({"q": np.array([1])}, {"q": np.array([2])}, None))[0].outcome is Outcome.FAIL
    assert Exact()(evidence({"q": np.array([1])}, {}, None))[0].outcome is Outcome.INCOMPARABLE


def test_floating_outputs_are_left_alone_unless_they_are_named() -> None:
    device, golden = np.array([1.0, np.nan, 0.0], dtype=np.float32), np.array([1.0, np.nan, -0.0])
    assert judged(device, golden) == []
    assert judged(device, golden, only=("q",))[0].outcome is Outcome.PASS
    assert judged(device + np.float32(2**-20), golden, only=("q",))[0].outcome is Outcome.FAIL


def test_many_outputs_are_summed_up() -> None:
    many = {f"q{i:02}": np.arange(3) for i in range(17)}
    (found,) = Exact()(evidence(many, many, many))
    assert (found.outcome, found.message) == (Outcome.PASS, "17 outputs are exact")
    (found,) = Exact()(evidence(many | {"q05": np.arange(3) + 1}, many, many))
    assert (found.outcome, found.subject) == (Outcome.FAIL, "q05")


def tie(ours: list[int], picked: list[float]) -> Outcome:
    golden = {"0.1": np.array([0, 1]), "0.1~picked0": np.array([5.0, 5.0])}
    device = {"0.1": np.array(ours), "0.1~picked0": np.array(picked)}
    return Exact()(evidence(device, golden, golden, "float32"))[0].outcome


def test_the_order_of_equal_values_is_no_fault_and_another_value_is() -> None:
    assert tie([1, 0], [5.0, 5.0]) is Outcome.PASS
    assert tie([1, 2], [5.0, 4.0]) is Outcome.FAIL


def test_a_wrong_sum_of_integers_names_the_cause_that_its_shape_tells() -> None:
    golden = np.arange(1.0, 65.0).reshape(8, 8)
    device = golden.astype(np.float32)
    device[-1] = 0
    assert Exact(("*",), "exact")(evidence({"x": device}, {"x": golden.astype(np.float32)}, {"x": golden}, "float32")) == []
    (found,) = Exact(("x*",))(evidence({"x": device}, {"x": golden.astype(np.float32)}, {"x": golden}, "float32"))
    assert found.cause is Cause.TAIL


def test_a_place_beside_integer_values_is_a_choice() -> None:
    golden = {"0.0": np.array([5, 4], dtype=np.int8), "0.1": np.array([0, 1])}
    found = Exact()(evidence(golden | {"0.1": np.array([0, 2])}, golden, golden, "int8"))
    assert [f.cause for f in found if f.outcome is Outcome.FAIL] == [Cause.CHOICE]
