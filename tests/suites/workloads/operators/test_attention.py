"""Tests of the attention workload's masks."""

import pytest
import torch

from suites.workloads.operators.attention import CASES, visible_keys
from tests.suites.workloads.operators.judging import inputs_of, outputs_of

BY_ID = {case.id: case for case in CASES}


def test_a_ragged_mask_broadcasts_and_shows_every_query_two_keys_or_more() -> None:
    mask = visible_keys(inputs_of(), 3, 10, "ragged")
    assert mask is not None
    assert mask.shape == (3, 1, 1, 10)
    counts = mask.sum(-1).flatten()
    assert counts.min() >= 2
    assert counts.max() < 10
    assert torch.equal(mask, torch.arange(10) < counts[:, None, None, None])


def test_a_left_padded_mask_is_causal_with_queries_that_see_nothing() -> None:
    mask = visible_keys(inputs_of(), 3, 10, "left_padded")
    assert mask is not None
    assert mask.shape == (3, 1, 10, 10)
    assert not torch.triu(mask, diagonal=1).any()
    seen = mask.any(-1)[:, 0]
    assert not seen[:, 0].any()
    assert seen[:, -1].all()


def test_queries_in_the_padding_give_zeros() -> None:
    case = BY_ID["operators/attention-left_padded[float32]"]
    for golden in (False, True):
        outputs = outputs_of(case, golden)
        assert not outputs["out"][:, :, 0].any()
        assert not outputs["grad_query"][:, :, 0].any()


def test_an_unknown_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="sideways"):
        visible_keys(inputs_of(), 1, 4, "sideways")
