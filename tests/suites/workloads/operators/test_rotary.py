"""Tests of the rotary workload: the layout of transformers' llama, and the table of angles."""

import numpy as np
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from suites.workloads.operators.rotary import half_split_rotary, rotary_angles


def test_is_what_transformers_does_for_llama() -> None:
    states, angles = torch.randn(1, 2, 5, 8, generator=torch.Generator().manual_seed(0)), torch.from_numpy(rotary_angles(3, 5, 8, 10_000))
    full = torch.cat([angles, angles], dim=-1)[None]
    expected, _ = apply_rotary_pos_emb(states, states, full.cos(), full.sin())
    assert torch.equal(half_split_rotary(states, angles), expected)


def test_angles_are_those_of_the_formula_to_two_roundings() -> None:
    angles = rotary_angles(100_000, 33, 128, 500_000)
    expected = np.outer(np.arange(100_000, 100_033), 500_000.0 ** (-np.arange(64) / 64))
    np.testing.assert_allclose(angles, expected, rtol=2.0**-23)
    assert angles.dtype == np.float32
