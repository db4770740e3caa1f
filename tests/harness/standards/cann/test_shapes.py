"""How many cases a level has, and what their shapes are."""

import math
from collections import Counter

import pytest

from harness.standards.cann.shapes import CELLS, RANKS, count_per_dtype, elements, spec
from harness.standards.cann.thresholds import LEVELS, TOTAL_ELEMENTS


@pytest.mark.parametrize(("level", "cases", "per_dtype"), [("L0", 5_000, 200), ("L1", 10_000, 700), ("L2", 30_000, 700)])
def test_a_level_has_its_number_of_cases_and_each_dtype_its_own(level: str, cases: int, per_dtype: int) -> None:
    for dtypes in (1, 3, 7, 100):
        each = count_per_dtype(level, dtypes)
        assert each * dtypes >= cases
        assert each >= per_dtype
    assert count_per_dtype(level, 100) == max(per_dtype, cases // 100)


@pytest.mark.parametrize("level", LEVELS)
def test_the_outputs_of_a_level_have_a_million_elements(level: str) -> None:
    assert elements([spec(level, i) for i in range(LEVELS[level].cases // 10)]) >= TOTAL_ELEMENTS


@pytest.mark.parametrize(("level", "shares"), [
    ("L0", {"uniform": 50, "normal": 50}), ("L1", {"tiny": 10, "uniform": 30, "normal": 40, "outliers": 20}),
    ("L2", {"tiny": 10, "uniform": 30, "normal": 40, "outliers": 20}), ("community", {"uniform": 50, "mild": 50}),
])  # fmt: skip
def test_distributions_have_their_shares(level: str, shares: dict[str, int]) -> None:
    assert Counter(spec(level, i).distribution for i in range(100)) == shares


@pytest.mark.parametrize(("level", "cycle"), [("L0", 2), ("L1", 10)])
def test_ranks_distributions_and_attributes_are_crossed(level: str, cycle: int) -> None:
    specs = [spec(level, i, RANKS, combinations=3) for i in range(cycle * 8 * 3)]
    if level == "L0":
        assert len({(len(s.shape), s.distribution, s.attributes) for s in specs}) == cycle * 8 * 3
    assert {(len(s.shape), s.attributes) for s in specs} == {(rank, a) for rank in RANKS for a in range(3)}
    assert len({(len(s.shape), s.distribution) for s in specs}) == 8 * len({s.distribution for s in specs})


def test_ranks_are_those_of_the_operator() -> None:
    assert {len(spec("L0", i, ranks=(2, 4)).shape) for i in range(40)} == {2, 4}


@pytest.mark.parametrize("level", [*LEVELS, "community"])
def test_no_tensor_is_larger_than_it_may_be_or_empty(level: str) -> None:
    assert all(0 < math.prod(spec(level, i, cells=cells).shape) <= cells for cells in (64, CELLS) for i in range(300))


def test_sizes_of_l0_are_steps_of_15_and_16() -> None:
    sizes = {size for i in range(1000) for size in spec("L0", i).shape}
    assert all(size == 1 or size % 15 == 0 or size % 16 == 0 for size in sizes)
    assert {15, 16, 30, 32, 45, 48} <= sizes
    assert max(sizes) > 2000


def test_sizes_of_l1_are_any() -> None:
    sizes = {size for i in range(1000) for size in spec("L1", i).shape}
    assert set(range(1, 30)) <= sizes
    assert max(sizes) > 2000


def test_sizes_of_the_community_are_powers_of_two_and_one_less() -> None:
    sizes = {size for i in range(1000) for size in spec("community", i).shape}
    assert all(math.log2(size).is_integer() or math.log2(size + 1).is_integer() for size in sizes)
    assert {7, 8, 15, 16, 255, 256} <= sizes


def test_one_case_in_three_of_l2_comes_from_a_model_and_none_of_the_others() -> None:
    assert sum(spec("L2", i).model for i in range(30_000)) == 10_000
    assert not any(spec(level, i).model for level in ("L0", "L1") for i in range(100))


def test_a_case_follows_from_its_number_alone() -> None:
    assert spec("L1", 4321) == spec("L1", 4321)
    assert spec("L1", 4321).name == "case04321"
    assert len({spec("L1", i, ranks=(2,)).shape for i in range(200)}) > 150
