"""Copies, casts and fills: values arrive unchanged, whatever the layout, the type and the direction."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.emulator.agree import agree, same

TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)
X = torch.tensor([[0.0, 1.0, 2.5, -1.0], [100.0, 3.25, 7.75, -0.0], [1e-3, 0.1, 31.0, 2.0]])
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "dense": lambda x: x,
    "transposed": lambda x: x.t(),
    "strided": lambda x: x[1:, ::2],
    "expanded": lambda x: x[:1].expand(3, 4),
    "scalar": lambda x: x[1, 1],
    "empty": lambda x: x[:0],
}


@pytest.mark.parametrize("target", TYPES, ids=str)
@pytest.mark.parametrize("source", TYPES, ids=str)
def test_cast(source: torch.dtype, target: torch.dtype) -> None:
    agree(lambda x: x.to(target), X.abs().to(source))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_to_the_device_and_back(layout: str) -> None:
    x = LAYOUTS[layout](X)
    same(x.npu(), x)
    same(LAYOUTS[layout](X.npu()), x)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_copy_between_layouts(layout: str) -> None:
    agree(lambda x: torch.empty_like(LAYOUTS[layout](x)).copy_(LAYOUTS[layout](x)), X)
    agree(lambda x: LAYOUTS[layout](x).clone(), X)
    agree(lambda x: LAYOUTS[layout](x).contiguous(), X)


def test_copy_into_a_part() -> None:
    def write(x: Tensor) -> Tensor:
        x.t()[1:3].copy_(x[:, :2].t().half())
        x[0, ::2] = 5
        return x

    agree(write, X.clone())


def test_copy_from_the_host_into_a_part() -> None:
    x = torch.zeros(3, 8).npu()
    x[:, ::2].copy_(X)
    expected = torch.zeros(3, 8)
    expected[:, ::2] = X
    same(x, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool], ids=str)
@pytest.mark.parametrize(
    "function",
    [
        torch.zeros_like,
        torch.ones_like,
        lambda x: torch.full_like(x, 3),
        lambda x: x.zero_(),
        lambda x: x.t().fill_(1),
        lambda x: x.fill_(x[0, 1]),
        lambda x: x.fill_diagonal_(1),
        lambda x: x.new_zeros(2, 3),
        lambda x: x.new_ones(2),
    ],
    ids=lambda function: "",
)
def test_fills(function: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    agree(function, X.to(dtype))


@pytest.mark.parametrize("wrap", [False, True])
def test_fill_of_a_tall_diagonal(wrap: bool) -> None:
    agree(lambda x: x.fill_diagonal_(2.0, wrap=wrap), torch.zeros(7, 3))


def test_printing() -> None:
    assert repr(X.npu()) == repr(X)[:-1] + ", device='npu:0')"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_autocast_casts_and_gradients_come_back_in_float32(dtype: torch.dtype) -> None:
    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        x.requires_grad_()
        with torch.autocast(x.device.type, dtype):
            y = x.to(dtype) * 0.1
        return y.detach(), torch.autograd.grad(y.float().sum(), x)[0]

    agree(run, X)
