"""msprobe's dual benchmark, its figures by hand, and what it lets through."""

import numpy as np
import pytest

from harness.standards.msprobe import BOUNDS, figures, judge, level_of
from tests.harness.standards.build import segments

GOLDEN = 1.0 + np.arange(64) / 64


def says(device: np.ndarray, reference: np.ndarray = GOLDEN, golden: np.ndarray = GOLDEN, dtype: str = "float16", level: str = "L0") -> str:
    return judge(segments(device, reference, golden), dtype, level)[0].says


def test_figures_by_hand() -> None:
    # golden 1 and 2 with errors 0.1 and 0.2; nothing masked, nothing small
    found = figures(segments([1.1, 1.8], [1.0, 2.0], [1.0, 2.0]), "float32")[:, 0, 0]
    epsilon = 2**-23
    assert found[0] == pytest.approx(max(0.1 / (1 + epsilon), 0.2 / (2 + epsilon)))
    assert found[1] == pytest.approx((0.1 / (1 + epsilon) + 0.2 / (2 + epsilon)) / 2)
    assert found[2] == pytest.approx(np.sqrt(0.025 * (2 / (2 + 1e-4) + 1e-4)))
    assert found[3] == 0


def test_masked_elements_count_in_the_rmse_s_denominator_as_msprobe_has_it() -> None:
    found = figures(segments([1.1, np.nan], [1.0, 2.0], [1.0, 2.0]), "float32")[:, 0, 0]
    assert found[2] == pytest.approx(np.sqrt(0.005 * (2 / (1 + 1e-4) + 1e-4)))


@pytest.mark.parametrize(
    ("dtype", "small", "error"), [("float16", 2**-10, 1e-16), ("bfloat16", 2**-10, 1e-16), ("float32", 2**-20, 2**-30)]
)
def test_small_values_are_a_share_of_their_own(dtype: str, small: float, error: float) -> None:
    golden = [small, small, 2 * small]
    found = figures(segments([small + 2 * error, small, 2 * small], golden, golden), dtype)[:, 0, 0]
    assert found[3] == 0.5
    assert found[0] == 0


@pytest.mark.parametrize(("dtype", "floor"), [("float16", 2**-11), ("bfloat16", 2**-8), ("float32", 2**-14)])
def test_a_perfect_reference_counts_as_the_floor(dtype: str, floor: float) -> None:
    ones = np.ones(4)
    assert says(ones * (1 + 1.9 * floor), ones, ones, dtype) == "pass"
    assert says(ones * (1 + 2.1 * floor), ones, ones, dtype) == "fail"


@pytest.mark.parametrize("level", BOUNDS)
def test_ratios_within_the_bounds_pass_with_a_warning(level: str) -> None:
    tightest = BOUNDS[level][1]
    sides = [GOLDEN * (1 + k * 1e-2) for k in (tightest * 0.99, tightest * 1.01, 1)]
    assert judge(segments(sides[0], sides[2], GOLDEN), "float16", level)[0].why == "with a warning"
    assert says(sides[1], sides[2], level=level) == "fail"


@pytest.mark.parametrize(("operator", "level"), [("exp", "L0"), ("embedding", "L1"), ("matmul", "L2"), ("layer_norm", "L2")])
def test_levels_follow_its_lists(operator: str, level: str) -> None:
    assert level_of(operator) == level


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_eight_special_values_of_the_device_alone_pass(special: float) -> None:
    device = GOLDEN.copy()
    device[:8] = special
    assert says(device) == "pass"


def test_saturation_where_infinity_is_right_passes() -> None:
    golden = np.append(GOLDEN, 1e6)
    assert says(np.append(GOLDEN, 65504.0), np.append(GOLDEN, np.inf), golden) == "pass"


def test_an_output_of_nothing_but_nan_passes() -> None:
    assert says(np.full(64, np.nan)) == "pass"


def test_a_lost_column_fails() -> None:
    device = GOLDEN.copy()
    device[::8] = 0
    assert says(device) == "fail"
