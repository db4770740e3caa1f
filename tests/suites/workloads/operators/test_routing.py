"""Tests of the routing workloads: logits that leave no doubt in any dtype."""

import pytest
import torch

from suites.workloads.operators.routing import separated_logits, softmax_topk


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_separated_logits_stay_apart_after_rounding(dtype: torch.dtype) -> None:
    rounded = separated_logits(0, 127, 32).to(dtype).double()
    assert float(rounded.sort(dim=1).values.diff(dim=1).min()) >= 1 / 8
    assert float(rounded.abs().max()) <= 4


def test_rows_of_separated_logits_are_in_different_orders() -> None:
    orders = {tuple(row) for row in separated_logits(0, 127, 32).argsort(dim=1).tolist()}
    assert len(orders) == 127


def test_weights_have_the_dtype_of_the_logits_and_scores_are_float32() -> None:
    experts, weights, scores = softmax_topk(torch.tensor([[0.0, 2.0, 1.0]], dtype=torch.bfloat16), 2)
    assert experts.tolist() == [[1, 2]]
    assert weights.dtype is torch.bfloat16
    assert scores.dtype is torch.float32
