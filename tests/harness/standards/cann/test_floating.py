"""The metrics of the standard by hand, its levels, and its small-value domain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.standards.cann.floating import METRICS, bounds, errors_of, judge, ratios
from harness.standards.cann.thresholds import FORMATS, LEVELS
from tests.harness.standards.build import segments

ALL = np.ones(2, dtype=bool)


def test_metrics_by_hand() -> None:
    # errors 0.1 and 0.2 of goldens 1 and 2: relative 0.1 and 0.1; of the reference 0.05 and 0: relative 0.05 and 0
    errors = errors_of(segments([1.1, 1.8], [1.05, 2.0], [1.0, 2.0]), "float32", ALL)
    assert errors.mare[:, 0] == pytest.approx([0.1 / (1 + 1e-7), 0.05 / (1 + 1e-7)])
    assert errors.mere[:, 0] == pytest.approx([0.1, 0.025], rel=1e-6)
    assert errors.rmse[:, 0] == pytest.approx([np.sqrt(0.05 / 2), np.sqrt(0.0025 / 2)])
    assert errors.counts[:, 0].tolist() == [0, 0]


def test_the_epsilon_of_the_relative_error_is_a_ten_millionth() -> None:
    errors = errors_of(segments([1.0, 1.0], [1.0, 1.0], [2e-4, 1.0]), "float32", ALL)
    assert errors.mare[0, 0] == pytest.approx((1.0 - 2e-4) / (2e-4 + 1e-7), rel=1e-12)


@pytest.mark.parametrize(("dtype", "threshold", "error"), [
    ("float16", 2**-11, 2**-16), ("bfloat16", 2**-8, 2**-16), ("float32", 2**-14, 2**-30),
    ("hifloat32", 2**-12, 2**-28), ("float8_e4m3fn", 2**-4, 2**-6), ("float8_e5m2", 2**-3, 2**-5),
])  # fmt: skip
def test_small_values_are_counted_by_the_thresholds_of_their_dtype(dtype: str, threshold: float, error: float) -> None:
    small = threshold * 0.999
    golden = [small, small, threshold, threshold]
    off = [small + 1.001 * error, small + 0.999 * error, threshold + 2 * error, threshold]
    errors = errors_of(segments(off, golden, golden), dtype, np.ones(4, dtype=bool))
    assert errors.counts[:, 0].tolist() == [1, 0]
    assert errors.mare[0, 0] == pytest.approx(2 * error / (threshold + 1e-7))  # the small ones count in no relative error


def test_an_error_count_may_be_twice_the_reference_s_and_two_where_it_has_none() -> None:
    zero, wrong = [0.0] * 8, 1e-3
    assert judge(segments([wrong] * 2 + [0.0] * 6, zero, zero), "float32", "L0")[0].says == "pass"
    assert judge(segments([wrong] * 3 + [0.0] * 5, zero, zero), "float32", "L0")[0].why == "ErrorCount ratio 3 > 2"
    assert judge(segments([wrong] * 6 + [0.0] * 2, [wrong] * 3 + [0.0] * 5, zero), "float32", "L2")[0].says == "pass"


@pytest.mark.parametrize(("level", "allowed"), [("L0", [10, 2, 2, 2]), ("L1", [5, 1.5, 1.5, 2]), ("L2", [2, 1.2, 1.2, 2])])
def test_levels_allow_these_ratios(level: str, allowed: list[float]) -> None:
    assert bounds(level).tolist() == allowed


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("beyond", [False, True])
def test_a_ratio_just_within_passes_and_just_beyond_fails(level: str, beyond: bool) -> None:
    # one element: all three metrics have the same ratio, and MERE is the tightest
    ratio = LEVELS[level].mere * (1.01 if beyond else 0.99)
    said = judge(segments([1 + ratio * 1e-3], [1 + 1e-3], [1.0]), "float32", level)[0]
    assert said.says == ("fail" if beyond else "pass")
    assert said.ratio == pytest.approx(ratio)


def test_mare_fails_alone_where_one_element_is_far_off() -> None:
    golden = np.ones(1000)
    reference = golden * (1 + 1e-3)
    device = reference.copy()
    device[7] = 1 + 11e-3
    said = judge(segments(device, reference, golden), "float32", "L0")[0]
    assert (said.says, said.metric) == ("fail", "MARE")
    assert said.why == "MARE ratio 11 > 10"


def test_two_zeros_pass_and_anything_beside_a_zero_is_infinitely_worse() -> None:
    assert judge(segments([1.0], [1.0], [1.0]), "float32", "L2")[0].says == "pass"
    assert judge(segments([1.001], [1.0], [1.0]), "float32", "L0")[0].ratio == np.inf


def test_a_wrong_nan_fails_whatever_the_other_elements_are() -> None:
    said = judge(segments([np.nan, 1.0], [1.0, 1.0], [1.0, 1.0]), "float32", "L0")[0]
    assert said.says == "fail"
    assert "1 elements are wrongly NaN" in said.why


def test_three_different_values_are_to_be_investigated() -> None:
    assert judge(segments([1.0, 2.0], [np.nan, 2.0], [np.inf, 2.0]), "float32", "L0")[0].says == "investigate"


def test_what_is_excluded_without_the_inf_mode_fails_with_it() -> None:
    sides = segments([65504.0, 1.0], [np.inf, 1.0], [1e6, 1.0])
    assert judge(sides, "float16", "L0", inf_nan_mode=True)[0].says == "fail"
    assert judge(sides, "float16", "L0", inf_nan_mode=False)[0].says == "pass"


values = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


@given(values, st.sampled_from(sorted(FORMATS)), st.sampled_from(sorted(LEVELS)))
def test_a_device_that_repeats_the_reference_passes(golden: list[float], dtype: str, level: str) -> None:
    device = np.array(golden) * 1.001 + 1e-4
    assert judge(segments(device, device, golden), dtype, level)[0].says == "pass"


@given(values, st.floats(1.0, 50.0))
def test_ratios_grow_with_the_error(golden: list[float], factor: float) -> None:
    g = np.array(golden) + np.where(np.array(golden) < 0, -1, 1)
    sides = segments(g + factor * 1e-3, g + 1e-3, g)
    found = ratios(errors_of(sides, "float32", np.ones(len(g), dtype=bool)))
    assert found[:3, 0] == pytest.approx(factor, rel=1e-6)
    assert len(found) == len(METRICS)


@given(values)
def test_a_stricter_level_passes_nothing_that_a_laxer_one_fails(golden: list[float]) -> None:
    g = np.array(golden)
    sides = segments(g + 1.7e-3, g + 1e-3, g)
    says = [judge(sides, "float32", level)[0].says == "pass" for level in ("L0", "L1", "L2")]
    assert says == sorted(says, reverse=True)
