"""The same values elsewhere in memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.layouts import LAYOUTS, lay_out


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(LAYOUTS), st.lists(st.integers(0, 4), max_size=4), st.sampled_from(["float32", "bfloat16", "int64", "bool"]))
def test_values_shape_and_dtype_stay(layout: str, shape: list[int], dtype: str) -> None:
    tensor = torch.arange(int(torch.tensor(shape).prod()) if shape else 1).reshape(shape).to(getattr(torch, dtype))
    moved = lay_out(layout, tensor, torch.clone)
    assert (moved.shape, moved.dtype) == (tensor.shape, tensor.dtype)
    assert torch.equal(moved, tensor)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_is_another(layout: str) -> None:
    tensor = torch.arange(12.0).reshape(3, 4)
    moved = lay_out(layout, tensor, torch.clone)
    assert (moved.stride(), moved.storage_offset()) != (tensor.stride(), tensor.storage_offset())


@pytest.mark.parametrize("layout", ["sliced", "offset"])
def test_what_lies_between_is_poisoned(layout: str) -> None:
    storage = lay_out(layout, torch.ones(6), torch.clone).untyped_storage()
    everything = torch.empty(0).set_(storage)
    assert everything.isnan().sum() == len(everything) - 6 > 0


def test_an_unknown_layout_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="layout 'nz' is none of transposed, sliced, offset"):
        lay_out("nz", torch.ones(2), torch.clone)
