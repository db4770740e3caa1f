"""The table for NaN and infinity, row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.standards.cann.special import Special, as_rounded, classify

INF, NAN = np.inf, np.nan


def of(device: float, reference: float, golden: float, dtype: str = "float32", mode: bool = True) -> Special:
    classes = classify(*(np.array([v]) for v in (device, reference, golden)), dtype, mode)
    return Special.ORDINARY if classes is None else Special(classes[0])


def test_finite_everywhere_is_left_to_the_metrics() -> None:
    assert of(1.0, 2.0, 3.0) is Special.ORDINARY


@pytest.mark.parametrize("golden", [1.0, INF, -INF, NAN])
@pytest.mark.parametrize("value", [INF, -INF, NAN])
def test_the_third_party_s_value_is_right_whatever_the_golden_is(value: float, golden: float) -> None:
    assert of(value, value, golden) is Special.CORRECT


@pytest.mark.parametrize("reference", [1.0, INF, -INF, NAN])
@pytest.mark.parametrize("golden", [INF, -INF, NAN])
def test_a_special_golden_s_value_is_right_whatever_the_third_party_has(golden: float, reference: float) -> None:
    assert of(golden, reference, golden) is Special.CORRECT


@pytest.mark.parametrize("golden", [INF, -INF, NAN])
@pytest.mark.parametrize("device", [1.0, 65504.0])
def test_missing_a_special_value_that_the_third_party_meets_is_wrong(device: float, golden: float) -> None:
    assert of(device, golden, golden) is Special.WRONG


def test_the_other_infinity_is_wrong() -> None:
    assert of(-INF, INF, INF) is Special.WRONG


@pytest.mark.parametrize(("device", "reference", "golden"), [(1.0, NAN, INF), (NAN, 1.0, INF), (INF, NAN, 1.0), (1.0, 2.0, NAN)])
def test_three_different_values_are_to_be_investigated(device: float, reference: float, golden: float) -> None:
    assert of(device, reference, golden) is Special.INVESTIGATE


def test_special_where_both_others_are_finite_is_wrong() -> None:
    assert of(NAN, 1.0, 1.0) is Special.WRONG
    assert of(INF, 1.0, 1.0001) is Special.WRONG


def test_finite_where_only_the_third_party_is_special_is_right() -> None:
    assert of(1.0, NAN, 1.0) is Special.CORRECT


@pytest.mark.parametrize(("device", "reference", "golden"), [(65504.0, INF, INF), (INF, 1.0, 1.0), (1.0, -INF, 1.0)])
def test_without_the_inf_mode_an_infinity_takes_no_part(device: float, reference: float, golden: float) -> None:
    assert of(device, reference, golden, mode=False) is Special.EXCLUDED


def test_without_the_inf_mode_a_nan_still_does() -> None:
    assert of(NAN, 1.0, 1.0, mode=False) is Special.WRONG


@pytest.mark.parametrize(
    ("dtype", "last"), [("float16", 65519.99), ("bfloat16", 3.39e38), ("float32", 3.4028235e38), ("float8_e5m2", 61439.0)]
)
def test_the_golden_counts_as_rounded_to_the_dtype(dtype: str, last: float) -> None:
    assert as_rounded(np.array([last]), dtype)[0] == last
    assert as_rounded(np.array([-last * 1.01]), dtype)[0] == -INF


def test_overflow_in_the_dtype_is_what_the_golden_means() -> None:
    assert of(INF, 65504.0, 70000.0, "float16") is Special.CORRECT
    assert of(65504.0, INF, 70000.0, "float16") is Special.WRONG


special = st.sampled_from([INF, -INF, NAN, 0.0, 1.0, -2.0])


@given(special, special, special)
def test_every_triple_has_exactly_one_class_and_agreement_is_never_wrong(device: float, reference: float, golden: float) -> None:
    found = of(device, reference, golden)
    finite = [np.isfinite(v) for v in (device, reference, golden)]
    assert (found is Special.ORDINARY) == all(finite)
    if np.array_equal(device, golden, equal_nan=True):
        assert found in (Special.ORDINARY, Special.CORRECT)


@given(special, special, special)
def test_signs_do_not_matter(device: float, reference: float, golden: float) -> None:
    assert of(device, reference, golden) is of(-device, -reference, -golden)
