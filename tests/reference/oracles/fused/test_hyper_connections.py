"""Hyper-connections against their formulas token by token, and what must hold of a doubly stochastic matrix."""

import torch

from reference.oracles.fused import hyper_connections as oracle
from tests.reference.oracles.drawing import drawn, leaf


def test_rows_and_columns_sum_to_one_and_a_single_round_does_columns_only() -> None:
    x = drawn(3, 4, 4)
    (whole,) = oracle.mhc_sinkhorn(x, eps=0.0, num_iters=50)
    ones = torch.ones(3, 4, dtype=torch.float64)
    torch.testing.assert_close(whole.sum(-1), ones)
    torch.testing.assert_close(whole.sum(-2), ones)
    (once,) = oracle.mhc_sinkhorn(x, eps=0.0, num_iters=1)
    torch.testing.assert_close(once, torch.softmax(x, -1) / torch.softmax(x, -1).sum(-2, keepdim=True))


def test_streams_are_mapped_to_the_layer_and_back() -> None:
    n, d = 2, 3
    x, phi, alpha, bias, gamma = drawn(5, n, d), drawn(8, n * d, seed=1), drawn(3, seed=2), drawn(8, seed=3), drawn(n, d, seed=4)
    h_in, h_post, h_res, inverse, mixed, opened = oracle.mhc_pre(x, phi, alpha, bias, gamma=gamma, norm_eps=0.1, hc_eps=0.01)
    for token in range(5):
        flat = x[token].flatten()
        torch.testing.assert_close(inverse[token], 1 / (flat.square().mean() + 0.1).sqrt())
        scores = phi @ (flat * inverse[token] * gamma.flatten())
        torch.testing.assert_close(mixed[token], scores)
        gates = torch.sigmoid(alpha[0] * scores[:2] + bias[:2]) + 0.01
        torch.testing.assert_close(opened[token], gates)
        torch.testing.assert_close(h_in[token], gates @ x[token])
        torch.testing.assert_close(h_post[token], 2 * torch.sigmoid(alpha[1] * scores[2:4] + bias[2:4]))
        torch.testing.assert_close(h_res[token].flatten(), alpha[2] * scores[4:] + bias[4:])
        back = oracle.mhc_post(x, h_res, h_in, h_post)[token]
        torch.testing.assert_close(back, h_res[token].T @ x[token] + torch.outer(h_post[token], h_in[token]))


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x: oracle.mhc_sinkhorn(x, eps=1e-3, num_iters=3)[0], (leaf(2, 3, 3),))
    operands = (leaf(2, 2, 3), leaf(2, 2, 2, seed=1), leaf(2, 3, seed=2), leaf(2, 2, seed=3))
    assert torch.autograd.gradcheck(oracle.mhc_post, operands)
