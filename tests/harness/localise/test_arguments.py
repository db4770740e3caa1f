"""Operands are copied as they lie, widened exactly, and read back from a file as they were."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from harness.localise.arguments import laid_out, placed, read_back, tensors_in, widened, written_down

CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.complex64]


@st.composite
def views(draw: st.DrawFn) -> Tensor:
    """A view into some memory: sliced, transposed, expanded, offset, possibly empty or of no dimension."""
    dtype = draw(st.sampled_from(DTYPES))
    sizes = draw(st.lists(st.integers(0, 4), max_size=3))
    strides = [draw(st.integers(0, 6)) for _ in sizes]
    offset = draw(st.integers(0, 300))
    needed = offset + 1 + sum(max(size - 1, 0) * stride for size, stride in zip(sizes, strides, strict=True))
    memory = (torch.arange(needed) % 7).to(dtype)
    return memory.as_strided(sizes, strides, offset)


def same_layout(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.dtype) == (b.shape, b.dtype) and (a.stride() == b.stride() or a.numel() == 0) and torch.equal(a, b)


@given(views())
def test_a_copy_lies_as_the_original_and_shares_nothing(view: Tensor) -> None:
    copy = laid_out(view, CPU)
    assert same_layout(copy, view)
    assert copy.numel() == 0 or copy.untyped_storage().data_ptr() != view.untyped_storage().data_ptr()
    assert copy.numel() == 0 or copy.storage_offset() % 256 == view.storage_offset() % 256


@given(views(), st.floats(allow_nan=False), st.sampled_from([torch.float16, torch.int32]))
def test_what_is_written_down_reads_back(view: Tensor, number: float, dtype: torch.dtype) -> None:
    arguments = [view, [view, None], number, 3, True, "mean", dtype, torch.strided, torch.channels_last, CPU, 1 + 2j]
    tensors: dict[str, Tensor] = {}
    again = read_back(written_down(arguments, tensors), tensors, CPU)
    assert same_layout(again[0], view)
    assert again[2:] == arguments[2:]
    assert all(t.is_contiguous() for t in tensors.values())  # what the file format keeps


@pytest.mark.parametrize("number", [math.inf, -math.inf])
def test_infinities_survive_json(number: float) -> None:
    assert read_back(written_down([number], {}), {}, CPU) == [number]


def test_an_argument_that_json_cannot_tell_is_refused() -> None:
    with pytest.raises(TypeError, match="Generator"):
        written_down([torch.Generator()], {})


def test_one_tensor_given_twice_stays_one() -> None:
    x = torch.ones(2)
    (a, (b, c)), _ = placed(([x, (x, x.clone())], {}), CPU, CPU)
    assert a is b
    assert a is not c


def test_widening_leaves_integers_and_replaces_dtypes_and_devices() -> None:
    half, index = torch.ones(2, dtype=torch.bfloat16), torch.tensor([1])
    positional, named = widened(([half, index, torch.float16, torch.int32], {"device": torch.device("cuda:0")}))
    assert [t.dtype for t in positional[:2]] == [torch.float64, torch.int64]
    assert positional[2:] == [torch.float64, torch.int32]
    assert named == {"device": CPU}


def test_tensors_are_found_in_any_nest() -> None:
    a, b, c = torch.ones(1), torch.ones(2), torch.ones(3)
    assert [t.numel() for t in tensors_in(([a, [b]], {"x": c, "y": 3}))] == [1, 2, 3]
