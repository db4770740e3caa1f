"""Fused activations against PyTorch's own in float64."""

import pytest
import torch
import torch.nn.functional as F

from reference.oracles.fused import activations as oracle
from tests.reference.oracles.drawing import drawn, leaf

X = drawn(5, 12, scale=3.0)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_plain_ones() -> None:
    close(oracle.fast_gelu(X), X * torch.sigmoid(1.702 * X))
    close(oracle.silu(X), F.silu(X))
    for approximate in ("none", "tanh"):
        close(oracle.gelu(X, approximate=approximate), F.gelu(X, approximate=approximate))


def test_fast_gelu_stays_finite_where_an_exponential_would_not() -> None:
    found = oracle.fast_gelu(torch.tensor([-60000.0, 60000.0], dtype=torch.float16))
    assert found.tolist() == [0.0, 60000.0]


@pytest.mark.parametrize("dim", [0, 1])
def test_gated_ones_take_the_halves_that_they_say(dim: int) -> None:
    x = drawn(6, 8)
    first, second = x.chunk(2, dim)
    close(oracle.swiglu(x, dim), F.silu(first) * second)
    y, activated = oracle.geglu(x, dim, approximate=0)
    close(activated, F.gelu(second))
    close(y, first * F.gelu(second))
    close(oracle.geglu(x, dim, approximate=1, activate_left=True)[0], second * F.gelu(first, approximate="tanh"))


def test_gelu_mul() -> None:
    first, second = X.chunk(2, -1)
    close(oracle.gelu_mul(X, approximate="tanh"), F.gelu(first, approximate="tanh") * second)


@pytest.mark.parametrize("interleaved", [True, False])
def test_clipped_swiglu_element_by_element(interleaved: bool) -> None:
    found = oracle.clipped_swiglu(X, dim=-1, alpha=1.5, limit=2.0, bias=0.5, interleaved=interleaved)
    for row, result in zip(X.tolist(), found.tolist(), strict=True):
        pairs = zip(row[::2], row[1::2], strict=True) if interleaved else zip(row[:6], row[6:], strict=True)
        for (a, b), y in zip(pairs, result, strict=True):
            a, b = min(a, 2.0), max(min(b, 2.0), -2.0)
            assert y == pytest.approx(a / (1 + 2.718281828459045 ** (-1.5 * a)) * (b + 0.5), rel=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    for function in (oracle.fast_gelu, oracle.gelu, oracle.swiglu, lambda x: oracle.geglu(x)[0]):
        assert torch.autograd.gradcheck(function, (leaf(3, 4),))
