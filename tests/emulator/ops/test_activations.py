"""Activations, plain, in place and gated: the same bits as on the CPU, with their gradients; the device's own by their definition."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch_npu
from torch import Tensor

from emulator.operator import OPERATORS
from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

G = torch.Generator().manual_seed(0)
X = torch.cat([torch.randn(92, generator=G) * 2, torch.tensor([0.0, -0.5, 0.5, -3.0, 3.0, 20.0, 60.0, -60.0])]).reshape(5, 4, 5)
FLOATS = (torch.float32, torch.float16, torch.bfloat16)

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "elu": F.elu,
    "elu of another alpha": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "celu": lambda x: F.celu(x, 1.5),
    "leaky_relu": F.leaky_relu,
    "rrelu": F.rrelu,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": lambda x: F.hardtanh(x, -0.3, 2.0),
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "tanhshrink": F.tanhshrink,
    "softplus": F.softplus,
    "softplus with a threshold": lambda x: F.softplus(x, 2, 1),
    "softsign": F.softsign,
    "mish": F.mish,
    "threshold": lambda x: F.threshold(x, 0.1, 20),
    "logsigmoid": F.logsigmoid,
    "logit": lambda x: torch.logit(torch.sigmoid(x)),
    "logit with a limit": lambda x: torch.logit(x, 0.1),
    "glu": lambda x: F.glu(x, 1),
}
IN_PLACE: dict[str, Callable[[Tensor], Any]] = {
    "relu": torch.relu_,
    "celu": torch.celu_,
    "elu": lambda x: F.elu(x, inplace=True),
    "leaky_relu": lambda x: F.leaky_relu(x, inplace=True),
    "hardsigmoid": lambda x: F.hardsigmoid(x, inplace=True),
    "hardswish": lambda x: F.hardswish(x, inplace=True),
    "hardtanh": lambda x: F.hardtanh(x, inplace=True),
    "mish": lambda x: F.mish(x, inplace=True),
    "silu": lambda x: F.silu(x, inplace=True),
    "threshold": lambda x: F.threshold(x, 0.1, 20, inplace=True),
    "rrelu": lambda x: F.rrelu(x, inplace=True),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_as_on_the_cpu(name: str, dtype: torch.dtype) -> None:
    agree(with_gradients(ACTIVATIONS[name]), X.to(dtype))


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str) -> None:
    def changed(x: Tensor) -> Tensor:
        x = x.clone()
        IN_PLACE[name](x[:, 1:])
        return x

    agree(changed, X)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("count", [1, 4])
def test_prelu(count: int, dtype: torch.dtype) -> None:
    agree(with_gradients(F.prelu), X.to(dtype), torch.linspace(-0.5, 0.5, count, dtype=dtype))


def test_relu_of_a_sum() -> None:
    agree(lambda x, y: torch.ops.aten._add_relu(x, y, alpha=2), X, X.flip(0))
    agree(lambda x, y: torch.ops.aten._add_relu_(x.clone(), y), X, X.flip(0))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_approximates_by_tanh_whatever_is_asked(approximate: str) -> None:
    found = with_gradients(lambda x: F.gelu(x, approximate=approximate))(X.npu())
    expected = with_gradients(lambda x: F.gelu(x, approximate="tanh"))(X)
    assert all(one.cpu().equal(other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_npu_gelu_approximates_as_asked(dtype: torch.dtype, approximate: str) -> None:
    found = with_gradients(lambda x: torch_npu.npu_gelu(x, approximate=approximate))(X.to(dtype).npu())
    expected = with_gradients(lambda x: F.gelu(x, approximate=approximate))(X.to(dtype))
    assert all(one.cpu().equal(other) for one, other in zip(found, expected, strict=True))


def close(found: list[Tensor], expected: list[Tensor], dtype: torch.dtype) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other.to(dtype))


def split(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(*x.chunk(2, 1))


DEVICE: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "fast_gelu": (lambda x: torch_npu.npu_fast_gelu(x), lambda x: x / (1 + torch.exp(-1.702 * x))),
    "swiglu": (lambda x: torch_npu.npu_swiglu(x, 1), split(lambda a, b: F.silu(a) * b)),
    "geglu": (lambda x: torch_npu.npu_geglu(x, 1, 1)[0], split(lambda a, b: a * F.gelu(b, approximate="tanh"))),
    "geglu by erf": (lambda x: torch_npu.npu_geglu(x, 1, 0)[0], split(lambda a, b: a * F.gelu(b))),
    "geglu of the left": (lambda x: torch_npu.npu_geglu(x, 1, 1, True)[0], split(lambda a, b: F.gelu(a, approximate="tanh") * b)),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", DEVICE)
def test_the_devices_own_by_their_definition(name: str, dtype: torch.dtype) -> None:
    found, definition = (with_gradients(function) for function in DEVICE[name])
    close(found(X.to(dtype).npu()), definition(X.to(dtype).double()), dtype)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_times_the_other_half(approximate: str) -> None:
    first, second = X.double().mT.chunk(2, -1)
    found = torch_npu.npu_gelu_mul(X.mT.npu(), approximate=approximate)
    close([found], [F.gelu(first, approximate=approximate) * second], torch.float32)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize(("dim", "groups"), [(-1, None), (1, None), (-1, [3, 7])])
def test_clipped_swiglu(dim: int, groups: list[int] | None, interleaved: bool) -> None:
    x = torch.randn(5, 4, 6, generator=G) * 8
    index = None if groups is None else torch.tensor(groups).npu()
    found = torch_npu.npu_clipped_swiglu(x.npu(), group_index=index, dim=dim, alpha=1.5, limit=4.0, bias=0.5, interleaved=interleaved)
    rows = x.double().flatten(0, dim % 3 - 1).flatten(1)
    a, b = (rows[:, ::2], rows[:, 1::2]) if interleaved else rows.chunk(2, 1)
    a, b = a.clamp(max=4), b.clamp(-4, 4)
    expected = (a * torch.sigmoid(1.5 * a) * (b + 0.5)).view(found.shape).float()
    if groups is not None:
        expected.view(-1, found.shape[-1])[sum(groups) :] = 0
    torch.testing.assert_close(found.cpu(), expected)


@pytest.mark.parametrize("in_place", [True, False])
def test_rrelu_in_training_draws_a_slope_for_every_negative_element(in_place: bool) -> None:
    x = torch.randn(2000, generator=G).npu()
    torch.npu.manual_seed(5)
    first = F.rrelu(x.clone(), 0.2, 0.4, training=True, inplace=in_place)
    slopes = (first / x).cpu()
    negative = x.cpu() < 0
    assert (slopes[~negative] == 1).all()
    assert slopes[negative].min() >= 0.2 - 1e-6
    assert slopes[negative].max() <= 0.4 + 1e-6
    assert abs(slopes[negative].mean() - 0.3) < 0.01
    assert not F.rrelu(x.clone(), 0.2, 0.4, training=True, inplace=in_place).equal(first)
    torch.npu.manual_seed(5)
    assert F.rrelu(x.clone(), 0.2, 0.4, training=True, inplace=in_place).equal(first)


def test_rrelu_in_training_gives_its_gradient_the_same_slopes() -> None:
    x = torch.randn(50, generator=G).npu().requires_grad_()
    result = F.rrelu(x, training=True)
    result.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), result.detach())


def test_the_forms_of_other_environments() -> None:
    """torch_npu calls these where TORCH_NPU_USE_COMPATIBLE_IMPL=1 or an operator of a newer toolkit is missing."""
    assert OPERATORS["aclnnGeluV2"].function(X, 0, X).equal(F.gelu(X))
    assert OPERATORS["aclnnGeluV2"].function(X, 1, X).equal(F.gelu(X, approximate="tanh"))
    assert OPERATORS["aclnnHardswishBackward"].function(X, X, X).equal(torch.ops.aten.hardswish_backward(X, X))


def test_hardsigmoid_of_integers_is_cut_off() -> None:
    assert F.hardsigmoid(torch.arange(-4, 5, dtype=torch.int32).npu()).tolist() == [0] * 7 + [1, 1]
