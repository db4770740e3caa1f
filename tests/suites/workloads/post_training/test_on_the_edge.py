"""Numbers on which rules of quantisation differ: each rule that is wrong gives other bits on them."""

import pytest
import torch

from harness.inputs import draw_normal
from reference.oracles.block_formats import FP8_ACTIVATIONS, MXFP4, MXFP8, Format, Rule, to_element
from suites.workloads.post_training.on_the_edge import _KINDS, on_the_edge

FORMATS = {"mxfp4": MXFP4, "fp8": FP8_ACTIVATIONS, "mxfp8": MXFP8}
each_format = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_codes_are_the_same_in_float64(form, dtype):
    x = on_the_edge(0, "x", (7, 3, 300), form, dtype)
    assert (x.shape, x.dtype) == ((7, 3, 300), dtype)
    assert torch.equal(form.round_trip(x).double(), form.round_trip(x.double()))


@each_format
def test_the_two_rules_differ_and_all_kinds_are_there(form):
    x = on_the_edge(0, "x", (9, 9 * form.block[1]), form, torch.float32)
    other = Rule.FLOOR if form.rule is Rule.CEILING else Rule.CEILING
    assert not torch.equal(form.round_trip(x), Format(form.element, form.block, other).round_trip(x))
    blocks = x.unflatten(-1, (-1, form.block[1]))
    largest = blocks.abs().amax(-1)
    assert (largest == 0).any()
    assert ((largest > 0) & (largest < torch.finfo(torch.float32).tiny)).any()
    assert ((largest > 0) & (torch.frexp(largest).mantissa == 0.5)).any()
    assert (torch.frexp(largest).mantissa * 2 == form.element.room).any()


@each_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_midpoints_are_midpoints_and_their_neighbours_lie_on_either_side(form, dtype):
    eps = torch.finfo(dtype).eps
    drawn = torch.from_numpy(draw_normal(0, "drawn", 8 * 32)).reshape(8, 32)
    middle, beside = (kind(drawn, form.element, eps)[:, 1:] * 2.0**form.element.top for kind in _KINDS[-2:])
    up, down = (to_element(middle * (1 + way * 2.0**-20), form.element).abs() for way in (1, -1))
    halfway = middle.abs() < form.element.limit
    assert halfway.float().mean() > 0.5
    assert torch.equal(((up + down) / 2)[halfway], middle.abs()[halfway])
    assert torch.equal(to_element(beside, form.element).abs()[halfway], torch.where(torch.arange(1, 32) % 2 == 0, up, down)[halfway])
