"""Rewards that explain preferences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.workloads.post_training.bradley_terry import bradley_terry


@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_as_the_formula_written_out(pairs):
    chosen, rejected = np.array(pairs).T
    found = bradley_terry(torch.tensor(np.concatenate([chosen, rejected])))
    assert found["loss"].item() == pytest.approx(np.mean(np.log1p(np.exp(rejected - chosen))), rel=1e-12, abs=1e-15)
    assert found["margins"].tolist() == (chosen - rejected).tolist()
    assert found["margin"].item() == pytest.approx(np.mean(chosen - rejected), rel=1e-12, abs=1e-12)
    assert found["chosen_reward"].item() == pytest.approx(chosen.mean(), rel=1e-12, abs=1e-12)
    assert found["rejected_reward"].item() == pytest.approx(rejected.mean(), rel=1e-12, abs=1e-12)
    assert found["accuracy"].item() == pytest.approx(np.mean(chosen > rejected))


def test_equal_rewards_are_no_right_answer():
    found = bradley_terry(torch.tensor([1.0, 3.0, 1.0, 2.0]))
    assert found["accuracy"].item() == 0.5
    assert found["accuracy"].dtype is torch.float32


def test_the_gradient_is_the_share_of_doubt():
    rewards = torch.tensor([1.0, 0.0, -0.5, 2.0], dtype=torch.float64, requires_grad=True)
    bradley_terry(rewards)["loss"].backward()
    doubt = 1 / (1 + np.exp([1.5, -2.0])) / 2
    assert rewards.grad.tolist() == pytest.approx([*-doubt, *doubt])
