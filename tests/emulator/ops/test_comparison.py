"""Comparison, logic, bits and selection: equal to the CPU for every type and form."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.emulator.agree import agree

TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.int64, torch.uint8)
NAMES = ("eq", "ne", "lt", "le", "gt", "ge")
X, Y = torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.tensor([[5, 1, 0], [3, 5, 4]])
MASK = X > Y
SPECIAL = torch.tensor([0.0, -0.0, 1.0, float("nan"), float("inf"), float("-inf")])


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_comparison(name: str, dtype: torch.dtype) -> None:
    x, y = X.to(dtype), Y.to(dtype)
    agree(getattr(torch, name), x, y)
    agree(getattr(torch, name), x.t(), 3)
    agree(getattr(torch, name), x, 2.5)
    agree(getattr(torch.Tensor, f"{name}_"), x.clone(), y)
    agree(getattr(torch.Tensor, f"{name}_"), x.clone(), 3)


@pytest.mark.parametrize("name", NAMES)
def test_comparison_of_special_values(name: str) -> None:
    agree(getattr(torch, name), SPECIAL[:, None], SPECIAL)


@pytest.mark.parametrize("function", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne])
def test_number_on_the_left(function: Callable[..., Tensor]) -> None:
    agree(lambda x: function(3, x), X)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_logic(name: str, dtype: torch.dtype) -> None:
    agree(getattr(torch, name), X.to(dtype), Y.to(dtype))
    agree(getattr(torch.Tensor, f"{name}_"), X.to(dtype), Y.to(dtype))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int64, torch.uint8], ids=str)
@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_bits(name: str, dtype: torch.dtype) -> None:
    for function in (getattr(torch, name), getattr(torch.Tensor, f"{name}_")):
        agree(function, X.to(dtype), Y.to(dtype))
        agree(function, X.to(dtype), True if dtype == torch.bool else 6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x << y,
        lambda x, y: (x << 3) >> 1,
        lambda x, y: x.bitwise_left_shift(y).bitwise_right_shift(1),
        lambda x, y: x.__ilshift__(y).__irshift__(1),
        lambda x, y: x.__ilshift__(2).__irshift__(y),
    ],
    ids=lambda function: "",
)
def test_shifts(function: Callable[..., Tensor]) -> None:
    agree(function, X, Y)


@pytest.mark.parametrize(
    ("x", "y"), [(X, Y), (X, X), (X, X.clone()[:1]), (SPECIAL, SPECIAL), (X.float().t(), X.float().t().contiguous()), (X[:0], X[:0])]
)
def test_equality_of_tensors(x: Tensor, y: Tensor) -> None:
    agree(torch.equal, x, y)


@pytest.mark.parametrize("options", [{}, {"equal_nan": True}, {"rtol": 0.0, "atol": 0.5}], ids=str)
def test_closeness(options: dict[str, Any]) -> None:
    agree(lambda x: torch.isclose(x, x.roll(1) + 0.25, **options), SPECIAL)
    agree(lambda x: torch.allclose(x, x, **options), SPECIAL)


@pytest.mark.parametrize("invert", [False, True])
def test_membership_of_numbers(invert: bool) -> None:
    agree(lambda x: torch.isin(x, 3, invert=invert), X)
    agree(lambda x: torch.isin(3, x, invert=invert), X)


@pytest.mark.parametrize(
    "function",
    [
        torch.where,
        lambda mask, x, y: torch.where(mask[:1], x.half(), y),
        lambda mask, x, y: torch.where(mask, x.bfloat16(), 0.5),
        lambda mask, x, y: torch.where(mask, float("-inf"), x.float()),
        lambda mask, x, y: torch.where(mask, 1, 0),
        lambda mask, x, y: torch.where(mask[0], x.float().sum(), 0.0),
        lambda mask, x, y: x.masked_fill(mask, 7),
        lambda mask, x, y: x.bfloat16().masked_fill(mask[:1], float("-inf")),
        lambda mask, x, y: x.float().masked_fill_(mask, y.float().max()),
        lambda mask, x, y: x[0].masked_fill(mask, 7),
        lambda mask, x, y: x.t().masked_fill_(mask.t(), 7).t(),
    ],
    ids=lambda function: "",
)
def test_selection(function: Callable[..., Tensor]) -> None:
    agree(function, MASK, X, Y)


def test_gradient_of_selection() -> None:
    def gradient(mask: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        x.requires_grad_()
        return torch.autograd.grad((torch.where(mask, x, 2 * x) + x.masked_fill(mask, 0.0)).sum(), x)

    agree(gradient, MASK, X.float())
