"""Tests of AdamW: the first step by hand, its laws, and torch's optimizer in float64."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.adamw import adamw
from tests.reference.oracles.drawing import drawn


def test_the_first_step_is_the_sign_of_the_gradient_and_the_decay() -> None:
    param, gradient = torch.tensor([2.0, 2.0], dtype=torch.float64), torch.tensor([3.0, -0.5], dtype=torch.float64)
    state = adamw(param, [gradient], lr=0.1, betas=(0.9, 0.99), eps=0.0, weight_decay=0.5)
    torch.testing.assert_close(state.param, torch.tensor([1.8, 2.0], dtype=torch.float64), rtol=1e-14, atol=0)
    torch.testing.assert_close(state.exp_avg, 0.1 * gradient, rtol=1e-14, atol=0)
    torch.testing.assert_close(state.exp_avg_sq, 0.01 * gradient**2, rtol=1e-13, atol=0)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.sampled_from([0.0, 0.1]), st.sampled_from([1e-8, 1e-2]))
def test_is_torchs_optimizer_in_float64(steps: int, weight_decay: float, eps: float) -> None:
    start, gradients = drawn(4, 3), [drawn(4, 3, seed=s + 1) for s in range(steps)]
    param = start.clone().requires_grad_()
    optimizer = torch.optim.AdamW([param], lr=0.05, betas=(0.8, 0.95), eps=eps, weight_decay=weight_decay)
    for gradient in gradients:
        param.grad = gradient.clone()
        optimizer.step()
    state = adamw(start, gradients, 0.05, (0.8, 0.95), eps, weight_decay)
    torch.testing.assert_close(state.param, param.detach(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(state.exp_avg, optimizer.state[param]["exp_avg"], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(state.exp_avg_sq, optimizer.state[param]["exp_avg_sq"], rtol=1e-12, atol=1e-14)


def test_what_is_given_is_not_changed() -> None:
    param, gradient = drawn(3), drawn(3, seed=1)
    before = param.clone(), gradient.clone()
    adamw(param, [gradient, gradient], 0.1, (0.9, 0.99), 1e-8, 0.1)
    assert torch.equal(param, before[0])
    assert torch.equal(gradient, before[1])


def test_decay_does_not_pass_through_the_moments() -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    state = adamw(torch.ones(1, dtype=torch.float64), [zero, zero], lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=1.0)
    assert math.isclose(float(state.param), 0.81, rel_tol=1e-14)
    assert not state.exp_avg.any()
