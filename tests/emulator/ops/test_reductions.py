"""Reductions and scans: the same bits as on the CPU, over every dimension, some or none, and for every layout."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int32, torch.int64, torch.uint8, torch.bool)
X = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))

ANY_TYPE: dict[str, Callable[[Tensor], Any]] = {
    "sum": torch.sum,
    "sum over two dimensions": lambda x: x.sum((0, 2)),
    "sum, kept": lambda x: x.sum(1, keepdim=True),
    "sum in another type": lambda x: x.sum(dtype=torch.float32),
    "mean in another type": lambda x: x.mean(0, dtype=torch.float32),
    "prod": torch.prod,
    "prod over a dimension": lambda x: x.prod(1, keepdim=True),
    "max": torch.max,
    "min": torch.min,
    "max over a dimension": lambda x: x.max(1),
    "min over a dimension": lambda x: x.min(0, keepdim=True),
    "amax": lambda x: x.amax((0, 1)),
    "amin": torch.amin,
    "aminmax": torch.aminmax,
    "aminmax over a dimension": lambda x: torch.aminmax(x, dim=1),
    "any": torch.any,
    "any over a dimension": lambda x: x.any(1),
    "all": torch.all,
    "all over two dimensions": lambda x: x.all(dim=(0, 1)),
    "count_nonzero": torch.count_nonzero,
    "cumsum": lambda x: x.cumsum(1),
    "cumsum in another type": lambda x: x.cumsum(-1, dtype=torch.float32),
    "cumprod": lambda x: x.cumprod(0),
    "cummax": lambda x: x.cummax(1),
    "cummin": lambda x: x.cummin(1),
}
NUMBERS: dict[str, Callable[[Tensor], Any]] = {
    "argmax": torch.argmax,
    "argmax over a dimension": lambda x: x.argmax(1),
    "argmin": lambda x: x.argmin(0, keepdim=True),
    "median": torch.median,
    "nanmedian": torch.nanmedian,
    "nansum": torch.nansum,
}
FLOATS_ONLY: dict[str, Callable[[Tensor], Any]] = {
    "mean": torch.mean,
    "mean over a dimension": lambda x: x.mean((0, 2)),
    "nanmean": lambda x: torch.where(x > 1, torch.nan, x).nanmean(1),
    "std": torch.std,
    "var": lambda x: x.var(1, correction=0),
    "var_mean": lambda x: torch.var_mean(x, (0, 1)),
    "std_mean": lambda x: torch.std_mean(x, 1, keepdim=True),
    "norm": torch.norm,
    "norm of order 3": lambda x: torch.norm(x, 3, dim=1),
    "norm of order infinity": lambda x: torch.norm(x, float("inf")),
    "vector norm": torch.linalg.vector_norm,
    "vector norm of order 1": lambda x: torch.linalg.vector_norm(x, 1, dim=(0, 2)),
    "vector norm in another type": lambda x: torch.linalg.vector_norm(x, dtype=torch.float32),
    "logsumexp": lambda x: x.logsumexp((0, 1)),
    "median over a dimension": lambda x: x.median(1),
    "nanmedian over a dimension": lambda x: torch.where(x > 1, torch.nan, x).nanmedian(0, keepdim=True),
    "renorm": lambda x: torch.renorm(x, 2, 0, 1.0),
    "renorm in place": lambda x: x.clone().renorm_(1, -1, 2.0),
    "histc": lambda x: torch.histc(x.float(), 5),
    "histc of a range": lambda x: torch.histc(x.float(), 5, -1, 2),
}


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize("name", ANY_TYPE)
def test_any_type(name: str, dtype: torch.dtype) -> None:
    agree(ANY_TYPE[name], (X * 2).to(dtype))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str, dtype: torch.dtype) -> None:
    agree(NUMBERS[name], (X * 9).to(dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FLOATS_ONLY)
def test_floats(name: str, dtype: torch.dtype) -> None:
    agree(FLOATS_ONLY[name], X.to(dtype))


@pytest.mark.parametrize("function", [torch.sum, torch.any, torch.all, lambda x: x.sum(1), lambda x: x.prod(0), lambda x: x.cumsum(0)])
def test_no_elements(function: Callable[[Tensor], Tensor]) -> None:
    agree(function, torch.empty(0, 3))


@pytest.mark.parametrize("function", [torch.sum, torch.mean, torch.max, torch.argmax, torch.any, torch.norm, torch.prod, torch.amax])
def test_a_single_number(function: Callable[[Tensor], Tensor]) -> None:
    agree(function, torch.tensor(3.0))


@pytest.mark.parametrize("name", ["sum over two dimensions", "max over a dimension", "cumsum", "all over two dimensions"])
@pytest.mark.parametrize("view", [lambda x: x.mT, lambda x: x[:, 1:, ::2], lambda x: x[:1].expand(3, 4, 5)])
def test_views(view: Callable[[Tensor], Tensor], name: str) -> None:
    agree(lambda x: ANY_TYPE[name](view(x)), X)


def test_given_outputs() -> None:
    agree(lambda x: torch.sum(x, 0, out=x.new_empty(4, 5)), X)
    agree(lambda x: torch.cumsum(x, 0, out=torch.empty_like(x)), X)
    agree(lambda x: torch.mean(x, 2, out=x.new_empty(3, 4)), X)


def test_bincount() -> None:
    numbers = torch.tensor([3, 0, 3, 7, 1])
    agree(torch.bincount, numbers)
    agree(lambda x, weights: torch.bincount(x, weights, minlength=12), numbers, torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0]))


def test_histc_of_integers_counts_as_of_floats() -> None:
    numbers = torch.tensor([3, 0, 3, 7, 1], dtype=torch.int32)
    assert torch.histc(numbers.npu(), 4, 0, 8).cpu().tolist() == torch.histc(numbers.float(), 4, 0, 8).int().tolist()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(1),
        lambda x: x.mean(),
        lambda x: x.max(2).values,
        lambda x: x.amax((0, 1)),
        lambda x: x.norm(),
        lambda x: x.std(1),
        lambda x: x.logsumexp(1),
        lambda x: x.cumsum(0),
        lambda x: x.prod(1),
        lambda x: x.median(1).values,
    ],
)
def test_gradients(function: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    agree(with_gradients(function), X.to(dtype))


def test_the_older_forms_of_aminmax() -> None:
    x = X.npu()
    for found, expected in (
        (torch.ops.aten._aminmax(x), X.aminmax()),
        (torch.ops.aten._aminmax(x, 1, True), X.aminmax(dim=1, keepdim=True)),
    ):
        assert found[0].cpu().equal(expected.min)
        assert found[1].cpu().equal(expected.max)


def test_truth_of_bytes_written_to_a_bool() -> None:
    x = torch.tensor([[1, 2], [0, 3]], dtype=torch.uint8)
    agree(lambda x, out: torch.all(x, 1, out=out), x, torch.empty(2, dtype=torch.bool))
    agree(lambda x, out: torch.any(x, 0, out=out), x, torch.empty(2, dtype=torch.bool))


def test_renorm_of_order_0_counts() -> None:
    """The CPU refuses it; rows of more than two elements that are not 0 are scaled to two over their count."""
    x = torch.tensor([[1.0, 0.0, 2.0], [3.0, 4.0, 5.0]])
    torch.testing.assert_close(torch.renorm(x.npu(), 0, 0, 2).cpu(), x * torch.tensor([[1.0], [2 / 3]]))
