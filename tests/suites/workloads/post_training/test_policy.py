"""The parts of policy optimization, against numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from suites.workloads.post_training.policy import clipped_ratio, group_advantages, k3, masked_mean, multiplicative_error

RNG = np.random.default_rng(0)
LOGPROBS = st.floats(-10, 0)


def test_advantages_have_mean_0_and_deviation_1_in_each_group():
    rewards = RNG.random(12)
    found = group_advantages(torch.from_numpy(rewards), 4).numpy().reshape(3, 4)
    groups = rewards.reshape(3, 4)
    expected = (groups - groups.mean(1, keepdims=True)) / groups.std(1, ddof=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_group_of_equal_rewards_has_no_advantages():
    found = group_advantages(torch.tensor([0.3, 0.3, 0.3, 0.0, 1.0, 0.5]), 3)
    assert found[:3].tolist() == [0, 0, 0]
    assert found[3:].abs().min() < 1e-6 < found[3:].abs().max()


def test_the_ratio_is_held_where_it_went_too_far_the_way_it_is_drawn():
    ratios, advantages = np.array([[0.5, 1.5, 1.1], [0.5, 1.5, 1.1]]), np.array([2.0, -2.0])
    found = clipped_ratio(torch.log(torch.from_numpy(ratios)), torch.zeros(2, 3).double(), torch.from_numpy(advantages), 0.2)
    expected = -np.minimum(ratios * advantages[:, None], np.clip(ratios, 0.8, 1.2) * advantages[:, None])
    np.testing.assert_allclose(found.loss.numpy(), expected, rtol=1e-12)
    assert found.clipped.tolist() == [[False, True, False], [True, False, False]]


def test_what_is_clipped_has_no_gradient():
    logprobs = torch.log(torch.tensor([[0.5, 1.5, 1.1]])).requires_grad_()
    found = clipped_ratio(logprobs, torch.zeros(1, 3), torch.tensor([1.0]), 0.2)
    (gradient,) = torch.autograd.grad(found.loss.sum(), logprobs)
    assert (gradient == 0).tolist() == found.clipped.tolist() == [[False, True, False]]


@given(arrays(np.float64, 6, elements=LOGPROBS), arrays(np.float64, 6, elements=LOGPROBS))
def test_k3_is_its_definition_and_never_negative(own, other):
    ratio = np.exp(other - own)
    found = k3(torch.from_numpy(other), torch.from_numpy(own)).numpy()
    np.testing.assert_allclose(found, ratio - 1 - np.log(ratio), rtol=1e-6, atol=1e-9 * ratio.max())
    assert (found >= 0).all()


def test_k3_of_samples_estimates_the_divergence():
    own, other = np.array([0.2, 0.5, 0.3]), np.array([0.3, 0.3, 0.4])
    expectation = float((torch.from_numpy(own) * k3(torch.from_numpy(np.log(other)), torch.from_numpy(np.log(own)))).sum())
    assert expectation == pytest.approx(float((own * np.log(own / other)).sum()), rel=1e-12)


def test_multiplicative_error_is_a_factor_of_at_least_1():
    found = multiplicative_error(torch.log(torch.tensor([0.2, 0.4, 0.3])), torch.log(torch.tensor([0.4, 0.2, 0.3])))
    assert found.tolist() == pytest.approx([2, 2, 1])


def test_each_completion_counts_alike_whatever_its_length():
    values, mask = np.array([[1.0, 2.0, 9.0], [4.0, 5.0, 6.0]]), np.array([[True, True, False], [True, True, True]])
    assert masked_mean(torch.from_numpy(values), torch.from_numpy(mask)).item() == pytest.approx((1.5 + 5) / 2)
