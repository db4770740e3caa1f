"""Arithmetic of tensors and numbers: the same bits as on the CPU, for every type, layout and form."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from emulator.operator import OPERATORS
from tests.emulator.agree import agree

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


def values(dtype: torch.dtype, shape: tuple[int, ...] = (7, 9), seed: int = 0) -> Tensor:
    """Return numbers of both signs without zero; unsigned types get the absolute values."""
    generator = torch.Generator().manual_seed(seed)
    if dtype in FLOATS or dtype == torch.complex64:
        return (torch.randn(shape, generator=generator) + 0.01).to(dtype)
    small = torch.randint(1, 12, shape, generator=generator)
    sign = torch.randint(0, 2, shape, generator=generator) * 2 - 1
    return (small if dtype == torch.uint8 else small * sign).to(dtype)


BINARY: dict[str, Callable[[Any, Any], Tensor]] = {
    "add": lambda x, y: x + y,
    "add with a factor": lambda x, y: torch.add(x, y, alpha=3),
    "sub": lambda x, y: x - y,
    "sub with a factor": lambda x, y: torch.sub(x, y, alpha=3),
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "div trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "div floor": lambda x, y: torch.div(x, y, rounding_mode="floor"),
    "floor_divide": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
    "fmod": torch.fmod,
    "maximum": lambda x, y: torch.clamp(x, min=y),
    "minimum": lambda x, y: torch.clamp(x, max=y),
    "xlogy": torch.xlogy,
}
TENSORS_ONLY: dict[str, Callable[..., Tensor]] = {
    "atan2": torch.atan2,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "rsub": torch.rsub,
    "clamp": lambda x, y: torch.clamp(x, -y.abs(), y.abs()),
}
FLOATS_ONLY: dict[str, Callable[..., Tensor]] = {
    "pow": lambda x, y: x.abs() ** y,
    "logaddexp": torch.logaddexp,
    "lerp": lambda x, y: torch.lerp(x, y, y),
    "lerp by a number": lambda x, y: torch.lerp(x, y, 0.3),
    "addcdiv": lambda x, y: torch.addcdiv(x, x, y, value=0.3),
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=0.3),
}


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize("name", BINARY | TENSORS_ONLY)
def test_two_tensors(name: str, dtype: torch.dtype) -> None:
    agree((BINARY | TENSORS_ONLY)[name], values(dtype), values(dtype, seed=1))


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_tensor_and_number(name: str, dtype: torch.dtype) -> None:
    agree(BINARY[name], values(dtype), 3)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_number_is_not_rounded_to_the_tensor(name: str, dtype: torch.dtype) -> None:
    agree(BINARY[name], values(dtype), 0.3)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FLOATS_ONLY)
def test_floating(name: str, dtype: torch.dtype) -> None:
    agree(FLOATS_ONLY[name], values(dtype), values(dtype, seed=1))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 0.5, -1, -0.5, 2.5])
def test_powers_of_a_tensor(exponent: float) -> None:
    agree(lambda x: x.abs() ** exponent, values(torch.float32))


@pytest.mark.parametrize("function", [lambda x: 3 - x, lambda x: 3 / x, lambda x: 3**x, lambda x: 3 % x, lambda x: 3 + x], ids=lambda f: "")
def test_number_on_the_left(function: Callable[[Tensor], Tensor]) -> None:
    agree(function, values(torch.float32))


@pytest.mark.parametrize("bounds", [{"min": -0.5}, {"max": 0.5}, {"min": -0.5, "max": 0.5}], ids=str)
def test_clamp_by_numbers(bounds: dict[str, Any]) -> None:
    agree(lambda x: torch.clamp(x, **bounds), values(torch.bfloat16))


@pytest.mark.parametrize(
    ("shape", "other"), [((3, 1), (1, 4)), ((2, 3), (3,)), ((2, 3), ()), ((), (2, 3)), ((0, 3), (1, 3))], ids=lambda shape: str(shape)
)
def test_shapes_are_broadcast(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    agree(torch.add, values(torch.float32, shape), values(torch.float32, other))


def test_layouts_without_order() -> None:
    agree(lambda x, y: x.t()[1:, ::2] * y[::2, 1:].t().flip(0), values(torch.float32, (6, 8)), values(torch.float32, (6, 8)))


@pytest.mark.parametrize(
    "pair", [(torch.bfloat16, torch.float32), (torch.int32, torch.float16), (torch.int64, torch.int8), (torch.bool, torch.int32)]
)
def test_types_are_promoted(pair: tuple[torch.dtype, torch.dtype]) -> None:
    agree(lambda x, y: torch.add(x, y, alpha=2), values(torch.int64).to(pair[0]), values(torch.int64, seed=1).to(pair[1]))


IN_PLACE: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "add_": lambda x, y: x.add_(y, alpha=2),
    "sub_": lambda x, y: x.sub_(y, alpha=2),
    "mul_": torch.Tensor.mul_,
    "div_": torch.Tensor.div_,
    "div_ floor": lambda x, y: x.div_(y, rounding_mode="floor"),
    "floor_divide_": torch.Tensor.floor_divide_,
    "remainder_": torch.Tensor.remainder_,
    "fmod_": torch.Tensor.fmod_,
    "pow_": lambda x, y: x.abs_().pow_(y),
    "xlogy_": torch.Tensor.xlogy_,
    "clamp_": lambda x, y: x.clamp_(max=y).clamp_(min=y),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str, dtype: torch.dtype) -> None:
    agree(IN_PLACE[name], values(dtype), values(dtype, seed=1))
    agree(IN_PLACE[name], values(dtype), 0.3)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x.atan2_(y),
        lambda x, y: x.lerp_(y, y),
        lambda x, y: x.lerp_(y, 0.3),
        lambda x, y: x.addcmul_(x, y, value=0.3),
        lambda x, y: x.addcdiv_(x, y, value=0.3),
        lambda x, y: x.t().add_(y.t()),
        lambda x, y: x.mul_(x),
    ],
    ids=lambda function: "",
)
def test_in_place_of_tensors(function: Callable[..., Tensor]) -> None:
    agree(function, values(torch.float32), values(torch.float32, seed=1))


def test_in_place_refuses_a_type_that_cannot_hold_the_result() -> None:
    # Not through torch_npu: after an asynchronous error its queue drops all that follows in this process.
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type Long"):
        OPERATORS["aclnnInplaceDivs"].function(torch.arange(4), 2)


def test_complex_numbers() -> None:
    real, imaginary = values(torch.float32), values(torch.float32, seed=1)
    agree(torch.complex, real, imaginary)
    agree(torch.polar, real.abs(), imaginary)
    agree(lambda x, y: x * y / (x + 1), torch.complex(real, imaginary), torch.complex(imaginary, real))
    agree(lambda x: (x.conj() * 2j).imag, torch.complex(real, imaginary))


def test_greatest_common_divisor() -> None:
    agree(torch.gcd, values(torch.int64), values(torch.int64, seed=1))


def test_masked_scale_has_no_cpu_counterpart() -> None:
    x, mask = values(torch.float32), values(torch.float32, seed=1) > 0
    found = torch._masked_scale(x.npu(), mask.float().npu(), 2.0)
    torch.testing.assert_close(found.cpu(), torch.where(mask, x * 2, 0.0), rtol=0, atol=0)


def test_gradients_flow() -> None:
    def gradient(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        x, y = x.requires_grad_(), y.requires_grad_()
        return torch.autograd.grad(((x * y).exp() / (1 + x.square()) - (y.tanh() * x).sigmoid()).sum(), (x, y))

    agree(gradient, values(torch.float32), values(torch.float32, seed=1))


def test_a_complex_number_of_another_width_is_refused() -> None:
    real = torch.ones(3, dtype=torch.float64).npu()
    with pytest.raises(RuntimeError, match=r"makes torch\.complex128, and not torch\.complex64"):
        torch.complex(real, real, out=torch.ones(3, dtype=torch.complex64).npu()).cpu()
