"""Fused cross-entropies against PyTorch's in float64; a vocabulary in halves against the whole."""

import pytest
import torch
import torch.nn.functional as F

from reference.oracles.fused import losses as oracle
from tests.reference.oracles.drawing import drawn, leaf

LOGITS, TARGET, WEIGHT = drawn(6, 5, scale=3.0), torch.tensor([0, 4, 2, 2, 1, 3]), drawn(5, seed=1).abs()


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize(("ignored", "smoothing"), [(-100, 0.0), (2, 0.0), (-100, 0.2)])
def test_cross_entropy(reduction: str, weight: torch.Tensor | None, ignored: int, smoothing: float) -> None:
    options = {"reduction": reduction, "ignore_index": ignored, "label_smoothing": smoothing}
    loss, log_prob = oracle.cross_entropy_loss(LOGITS, TARGET, weight, **options)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, TARGET, weight, **options).reshape(loss.shape), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(log_prob, torch.log_softmax(LOGITS, -1), rtol=1e-12, atol=1e-13)


def test_a_vocabulary_in_halves_gives_the_loss_of_the_whole() -> None:
    hidden, table = drawn(6, 3), drawn(8, 3, seed=1)
    target = torch.tensor([0, 4, 7, 2, 1, 5])
    parts = [oracle.linear_online_max_sum(hidden, table[first : first + 4], target, first, first + 3) for first in (0, 4)]
    top = torch.maximum(parts[0][0], parts[1][0])
    total = sum(part[1] * torch.exp(part[0] - top) for part in parts)
    inside = [target < 4, target >= 4]
    predicted = sum(torch.where(here, part[2] + part[0] - top, 0.0) for part, here in zip(parts, inside, strict=True))
    loss, softmax = oracle.parallel_cross_entropy(top, total, predicted, parts[1][3])
    torch.testing.assert_close(loss, F.cross_entropy(hidden @ table.T, target, reduction="none"), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(softmax, torch.softmax(hidden @ table.T, -1)[:, 4:], rtol=1e-12, atol=1e-13)


def test_masked_softmax_with_a_bias() -> None:
    x, mask, bias = drawn(2, 3, 4, 5, 5), drawn(3, 5, 5, seed=1), drawn(4, 5, 5, seed=2)
    found = oracle.masked_softmax_with_rel_pos_bias(x, mask, bias, 0.7)
    torch.testing.assert_close(found, torch.softmax(0.7 * x + mask[:, None] + bias, -1), rtol=1e-12, atol=1e-13)


def test_gradients_are_those_of_finite_differences() -> None:
    options = {"reduction": "mean", "ignore_index": 2, "label_smoothing": 0.1}
    assert torch.autograd.gradcheck(lambda x: oracle.cross_entropy_loss(x, TARGET, WEIGHT, **options)[0], (leaf(6, 5),))
