"""Integers with a real scale for each group of a row."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.inputs import draw_normal
from reference.oracles.integer_formats import INT4_GROUPS, INT8, Integers


def drawn(rows, columns, seed=0):
    return torch.from_numpy(draw_normal(seed, "x", rows * columns)).reshape(rows, columns).float()


@given(st.integers(1, 300), st.integers(0, 20))
def test_no_number_is_off_by_more_than_half_a_step(columns, seed):
    x = drawn(3, columns, seed)
    for form in (INT8, INT4_GROUPS):
        width = form.group or columns
        for begin in range(0, columns, width):
            part = x[:, begin : begin + width]
            step = part.abs().amax(-1, keepdim=True) / form.limit
            off = (form.round_trip(x)[:, begin : begin + width] - part).abs()
            assert (off <= step * 0.500001).all()


def test_whole_numbers_up_to_the_limit_come_back():
    x = torch.tensor([[-127.0, 3, 0, 126, 1]])
    assert torch.equal(INT8.round_trip(x), x)


def test_a_group_does_not_see_the_next_one():
    x = torch.cat([drawn(2, 128), 1000 * drawn(2, 30)], 1)
    assert torch.equal(INT4_GROUPS.round_trip(x)[:, :128], INT4_GROUPS.round_trip(x[:, :128]))


def test_zeros_stay_zeros_and_dtypes_and_shapes_stay():
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        x = torch.zeros(2, 3, 5, dtype=dtype)
        assert torch.equal(Integers(7, 2).round_trip(x), x)


@pytest.mark.parametrize(("form", "few"), [(INT8, 0.01), (INT4_GROUPS, 0.13)])
def test_how_much_is_lost(form, few):
    x = drawn(16, 256)
    assert 0.2 * few < (form.round_trip(x) - x).norm() / x.norm() < few
