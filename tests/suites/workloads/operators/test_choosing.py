"""Places among equal values: told as the first that holds the same, and not differentiated where several could be."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from suites.assets import opinfo
from suites.workloads.operators.choosing import CHOOSING, chosen, first_equal, settled
from suites.workloads.operators.samples import Sample

TIED = torch.tensor([[2.0, 1.0, 2.0, 1.0], [3.0, 3.0, 0.0, 4.0]])


def test_the_names_are_operators() -> None:
    assert set(CHOOSING) <= set(opinfo.operators())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=5), st.sampled_from([0, 1, -1, -2]))
def test_the_first_equal_place_by_its_definition(rows: list[list[int]], dim: int) -> None:
    x = torch.tensor(rows)
    found, lines = first_equal(x, dim).movedim(dim, -1).reshape(-1, x.shape[dim]), x.movedim(dim, -1).reshape(-1, x.shape[dim])
    assert found.tolist() == [[line.tolist().index(value) for value in line.tolist()] for line in lines]


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3)])
def test_nothing_has_no_place(shape: tuple[int, ...]) -> None:
    assert first_equal(torch.ones(shape), -1).shape == shape


def ordered(places: list[int]) -> Any:
    """A sort of four values that gives these places, right or wrong."""

    def operator(x: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
        index = torch.tensor(places)
        return x[index], index

    return operator


def test_another_order_among_equals_is_told_alike() -> None:
    one, other = (chosen("sort", ordered(places))(TIED[0]) for places in ([1, 3, 0, 2], [3, 1, 2, 0]))
    assert all(a.equal(b) for a, b in zip(one, other, strict=True))
    assert one[1].tolist() == [1, 1, 0, 0]


def test_a_place_of_another_value_and_one_named_twice_are_told_otherwise() -> None:
    right, swapped, twice = (chosen("sort", ordered(places))(TIED[0]) for places in ([1, 3, 0, 2], [1, 0, 3, 2], [1, 1, 0, 2]))
    assert not right[1].equal(swapped[1])
    assert (right[2].item(), twice[2].item()) == (0, 1)


def test_a_stable_sort_is_left_as_it_is() -> None:
    places = chosen("sort", torch.sort)(TIED, dim=1, stable=True).indices
    assert places.equal(torch.sort(TIED, dim=1, stable=True).indices)


@pytest.mark.parametrize(("name", "arguments"), [("sort", (TIED, 1)), ("topk", (TIED, 2, 1)), ("msort", (TIED.mT,)), ("median", (TIED, 1))])
def test_a_gradient_that_equals_could_share_is_not_asked_for(name: str, arguments: tuple[Any, ...]) -> None:
    assert settled(name, Sample(arguments, {})).differentiated("result") == ()
    unequal = (torch.arange(8.0).reshape(arguments[0].shape), *arguments[1:])
    assert settled(name, Sample(unequal, {})).differentiated("result") == "result"


def test_a_median_of_everything_shares_its_gradient_evenly() -> None:
    assert settled("median", Sample((TIED,), {})).differentiated("result") == "result"
    assert chosen("median", torch.median)(TIED).equal(torch.median(TIED))


@pytest.mark.parametrize("name", CHOOSING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_every_sample_of_the_database_can_be_told(name: str, dtype: torch.dtype) -> None:
    op = opinfo.operators()[name]
    for drawn in opinfo.samples(op, dtype, 0):
        plain, told = (call(drawn.input, *drawn.args, **drawn.kwargs) for call in (op, chosen(name, op)))
        places = plain if isinstance(plain, Tensor) and name == "argsort" else plain[-1] if isinstance(plain, tuple) else None
        if places is not None and drawn.input.ndim:
            parts = [told] if isinstance(told, Tensor) else [part for part in told if isinstance(part, Tensor)]
            assert (places.shape, places.dtype) in {(part.shape, part.dtype) for part in parts}
