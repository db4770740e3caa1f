"""Arithmetic over lists of tensors: the same bits as on the CPU; lists longer than torch_npu hands over at once are split by it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from emulator.operator import OPERATORS
from tests.emulator.agree import agree

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
UNARY = (
    *("abs", "acos", "asin", "atan", "cos", "cosh", "erf", "erfc", "exp", "expm1", "log", "log10", "log1p", "log2", "neg", "reciprocal"),
    *("sigmoid", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "round", "floor", "ceil", "trunc", "frac"),
)
BINARY = ("add", "sub", "mul", "div", "pow", "maximum", "minimum")


def tensors(count: int = 3, dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
    """Return positive tensors of different shapes."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 4), (5,), (2, 1, 3)]
    return [(torch.rand(shapes[i % 3], generator=generator) + 0.1).to(dtype) for i in range(count)]


def in_place(name: str) -> Callable[..., Sequence[Tensor]]:
    """Return the function that works in place, made to return the list."""

    def run(targets: list[Tensor], *others: Any, **options: Any) -> list[Tensor]:
        getattr(torch, f"_foreach_{name}_")(targets, *others, **options)
        return targets

    return run


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: torch.dtype) -> None:
    agree(getattr(torch, f"_foreach_{name}"), tensors(dtype=dtype))
    agree(in_place(name), tensors(dtype=dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: torch.dtype) -> None:
    x, y = tensors(dtype=dtype), tensors(dtype=dtype, seed=1)
    for function in (getattr(torch, f"_foreach_{name}"), in_place(name)):
        agree(function, x, y)
        agree(function, x, 2)
        agree(function, x, [0.5, 2, 3.25])


@pytest.mark.parametrize("name", BINARY)
def test_number_is_not_rounded_to_the_tensors(name: str) -> None:
    agree(getattr(torch, f"_foreach_{name}"), tensors(dtype=torch.bfloat16), 0.3)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "maximum"])
def test_integers(name: str) -> None:
    x = [tensor.mul(20).int() for tensor in tensors()]
    agree(getattr(torch, f"_foreach_{name}"), x, x)
    agree(in_place(name), x, 3)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    "call",
    [
        lambda f, x, y: f("add")(x, y, alpha=0.3),
        lambda f, x, y: f("sub")(x, y, alpha=0.3),
        lambda f, x, y: f("addcmul")(x, y, y, 0.3),
        lambda f, x, y: f("addcdiv")(x, y, y, 0.3),
        lambda f, x, y: f("addcmul")(x, y, y, [0.3, 0.5, 2.0]),
        lambda f, x, y: f("addcdiv")(x, y, y, [0.3, 0.5, 2.0]),
        lambda f, x, y: f("addcmul")(x, y, y, torch.tensor([0.25, 0.5, 2.0])),
        lambda f, x, y: f("addcdiv")(x, y, y, torch.tensor([0.25, 0.5, 2.0])),
        lambda f, x, y: f("lerp")(x, y, 0.3),
        lambda f, x, y: f("lerp")(x, y, y),
    ],
    ids=lambda call: "",
)
def test_more_operands(call: Callable[..., Any], dtype: torch.dtype) -> None:
    x, y = tensors(dtype=dtype), tensors(dtype=dtype, seed=1)
    agree(lambda x, y: call(lambda name: getattr(torch, f"_foreach_{name}"), x, y), x, y)
    agree(lambda x, y: call(in_place, x, y), x, y)


@pytest.mark.parametrize("p", [1, 2, 2.0, float("inf")])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_norm(dtype: torch.dtype, p: float) -> None:
    agree(torch._foreach_norm, tensors(dtype=dtype), p)


def test_norm_in_a_wider_type() -> None:
    agree(lambda x: torch._foreach_norm(x, 2, dtype=torch.float32), tensors(dtype=torch.bfloat16))


def test_copy_zero_and_power_of_a_number() -> None:
    x = tensors()
    agree(in_place("copy"), x, tensors(seed=1))
    agree(in_place("zero"), x)
    agree(lambda exponents: torch._foreach_pow(2.5, exponents), x)


def test_long_lists() -> None:
    x, y = tensors(120), tensors(120, seed=1)
    agree(torch._foreach_add, x, y)
    agree(in_place("addcdiv"), x, y, y, 0.1)


def test_forms_with_the_number_in_a_tensor() -> None:
    # torch_npu calls these where the newer forms are missing, which the emulator has.
    x, y, number, weights = tensors(), tensors(seed=1), torch.tensor([2.0]), torch.tensor([0.5, 2.0, 3.0])

    def run(name: str, *arguments: Any) -> Sequence[Tensor]:
        return OPERATORS[f"aclnnForeach{name}"].function(*arguments, None)[0]

    for name in BINARY:
        torch.testing.assert_close(run(f"{name.capitalize()}Scalar", x, number), getattr(torch, f"_foreach_{name}")(x, 2.0), rtol=0, atol=0)
    torch.testing.assert_close(run("AddList", x, y, number), torch._foreach_add(x, y, alpha=2.0), rtol=0, atol=0)
    torch.testing.assert_close(run("SubList", x, y, number), torch._foreach_sub(x, y, alpha=2.0), rtol=0, atol=0)
    torch.testing.assert_close(run("RoundOffNumber", x, torch.tensor([3], dtype=torch.int8)), torch._foreach_ceil(x), rtol=0, atol=0)
    for name, function in (("Addcmul", torch._foreach_addcmul), ("Addcdiv", torch._foreach_addcdiv)):
        torch.testing.assert_close(run(f"{name}Scalar", x, y, y, number), function(x, y, y, 2.0), rtol=0, atol=0)
        torch.testing.assert_close(run(f"{name}ScalarList", x, y, y, weights), function(x, y, y, weights), rtol=0, atol=0)
