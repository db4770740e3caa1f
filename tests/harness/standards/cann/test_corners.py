"""The special cases: which there are, and what fills them."""

import math

import numpy as np
import pytest

from harness.standards.cann.corners import HUGE, Corner, corners

ALL = list(corners())


def named(prefix: str) -> list[Corner]:
    return [corner for corner in ALL if corner.name.startswith(prefix)]


def test_every_dimension_of_every_rank_is_empty_once() -> None:
    assert len(named("empty-")) == sum(range(1, 9))
    assert {(len(c.shape), c.shape.index(0)) for c in named("empty-")} == {(r, d) for r in range(1, 9) for d in range(r)}
    assert all(c.shape.count(0) == 1 for c in named("empty-"))


def test_all_ones_of_every_rank_and_a_scalar() -> None:
    assert [c.shape for c in named("ones-")] == [(1,) * rank for rank in range(1, 9)]
    assert [c.shape for c in named("scalar")] == [(1,)]


def test_every_dimension_is_once_past_what_32_bits_index() -> None:
    assert HUGE == 2**31 + 1
    assert len(named("huge-")) == sum(range(1, 9))
    assert all(math.prod(c.shape) == HUGE for c in named("huge-"))
    assert named("huge-1d-0")[0].bytes(2) == 2 * HUGE


@pytest.mark.parametrize(("fill", "has"), [("nan-", {"nan"}), ("inf-", {"inf"}), ("-inf-", {"-inf"}), ("mixed-", {"-inf", "inf"})])
def test_four_shapes_are_filled_with_each_special_value(fill: str, has: set[str]) -> None:
    found = named(fill)
    assert len({c.shape for c in found}) == 4
    for corner in found:
        assert {str(v) for v in corner.filled().tolist()} == has
        assert corner.filled().size == math.prod(corner.shape)


def test_an_operator_has_corners_of_its_own_ranks_only() -> None:
    found = list(corners((2, 4)))
    assert {len(c.shape) for c in found} == {2, 4}
    assert not any(c.name == "scalar" for c in found)


def test_names_are_unique_and_values_finite_elsewhere() -> None:
    assert len({c.name for c in ALL}) == len(ALL)
    assert np.isinf(named("mixed-")[0].filled()).all()
