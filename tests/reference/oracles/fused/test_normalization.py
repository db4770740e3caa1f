"""Fused normalisations against PyTorch's own in float64, and what must hold of them."""

import torch
import torch.nn.functional as F

from reference.oracles.fused import normalization as oracle
from tests.reference.oracles.drawing import drawn, leaf

EPS = 0.1


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_rms_norm_over_one_and_two_dimensions() -> None:
    x = drawn(5, 3, 7)
    for shape in ((7,), (3, 7)):
        gamma = drawn(*shape, seed=1)
        y, rstd = oracle.rms_norm(x, gamma, EPS)
        close(y, F.rms_norm(x, shape, gamma, EPS))
        close(rstd, 1 / (x.square().mean(tuple(range(-len(shape), 0)), keepdim=True) + EPS).sqrt())


def test_gemma_adds_one_to_gamma() -> None:
    x, gamma = drawn(5, 7), drawn(7, seed=1)
    close(oracle.gemma_rms_norm(x, gamma, EPS)[0], F.rms_norm(x, (7,), 1 + gamma, EPS))


def test_the_sum_is_normalised_and_given_back() -> None:
    x1, x2, gamma = drawn(5, 7), drawn(5, 7, seed=1), drawn(7, seed=2)
    expected = F.rms_norm(x1 + x2, (7,), gamma, EPS)
    y, _, total = oracle.add_rms_norm(x1, x2, gamma, EPS)
    close(y, expected)
    close(total, x1 + x2)
    wide, narrow, _, _ = oracle.add_rms_norm_cast(x1.half(), x2.half(), gamma.half(), EPS)
    assert (wide.dtype, narrow.dtype) == (torch.float32, torch.float16)
    assert torch.equal(wide.half(), narrow)
    oracle.add_rms_norm_v2(x1, x2, gamma, EPS)
    close(x1, expected)
    close(x2, total)


def test_statistics_are_wide_whatever_the_operands_are() -> None:
    _, rstd = oracle.rms_norm(drawn(5, 7).bfloat16(), drawn(7, seed=1).bfloat16(), EPS)
    assert rstd.dtype == torch.float32


def test_layer_norms() -> None:
    x1, x2, gamma, beta = drawn(5, 7), drawn(5, 7, seed=1), drawn(7, seed=2), drawn(7, seed=3)
    y, mean, rstd, total = oracle.add_layer_norm(x1, x2, gamma, beta, EPS, True)
    close(y, F.layer_norm(x1 + x2, (7,), gamma, beta, EPS))
    close(mean, total.mean(-1, keepdim=True))
    close(rstd, 1 / (total.var(-1, correction=0, keepdim=True) + EPS).sqrt())
    close(oracle.deep_norm(x1, x2, beta, gamma, 0.3, EPS)[2], F.layer_norm(0.3 * x1 + x2, (7,), gamma, beta, EPS))


def test_group_norms_with_their_activation() -> None:
    x, gamma, beta = drawn(2, 6, 3, 5), drawn(6, seed=1), drawn(6, seed=2)
    normal = F.group_norm(x, 3, gamma, beta, EPS)
    y, mean, _ = oracle.group_norm_silu(x, gamma, beta, 3, EPS)
    close(y, F.silu(normal))
    close(mean, x.reshape(2, 3, -1).mean(-1))
    close(oracle.group_norm_swish(x, 3, gamma, beta, eps=EPS, swish_scale=1.5)[0], normal * torch.sigmoid(1.5 * normal))


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x, g: oracle.rms_norm(x, g, EPS)[0], (leaf(3, 4), leaf(4, seed=1)))
    operands = (leaf(3, 4), leaf(3, 4, seed=1), leaf(4, seed=2), leaf(4, seed=3))
    assert torch.autograd.gradcheck(lambda x, gx, b, g: oracle.deep_norm(x, gx, b, g, 0.3, EPS)[2], operands)
