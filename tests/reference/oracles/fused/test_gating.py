"""Gates against PyTorch's top-k, and groups of experts against a loop."""

import pytest
import torch

from reference.oracles.fused import gating as oracle
from tests.reference.oracles.drawing import drawn, leaf

X = drawn(5, 12)


def test_the_softmax_gate() -> None:
    weights, experts, rows = oracle.moe_gating_top_k_softmax(X, torch.tensor([False, True, False, False, False]), 3)
    expected = torch.softmax(X, -1).topk(3)
    torch.testing.assert_close(weights, expected.values, rtol=1e-12, atol=0)
    assert experts[0].tolist() == expected.indices[0].tolist()
    assert experts[1].tolist() == [12] * 3
    assert rows.tolist() == [[token + 5 * j for j in range(3)] for token in range(5)]


def test_before_or_after_the_choice() -> None:
    weights, experts, scores = oracle.moe_gating_top_k_softmax_v2(X, k=3, renorm=1, output_softmax=False)
    values, indices = X.topk(3)
    torch.testing.assert_close(weights, torch.softmax(values, -1), rtol=1e-12, atol=0)
    assert torch.equal(experts.long(), indices)
    assert scores.numel() == 0
    _, _, scores = oracle.moe_gating_top_k_softmax_v2(X, k=3, renorm=0, output_softmax=True)
    torch.testing.assert_close(scores, torch.softmax(X, -1), rtol=1e-12, atol=0)


def test_among_equals_the_lowest_index_is_taken() -> None:
    assert oracle.best(torch.zeros(1, 6), 3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("mode", [0, 1])
def test_only_experts_of_the_best_groups_are_chosen_and_the_bias_does_not_weigh(mode: int) -> None:
    bias = drawn(12, seed=1)
    weights, experts, scores = oracle.moe_gating_top_k(
        X, 3, bias=bias, k_group=2, group_count=4, group_select_mode=mode, norm_type=1, routed_scaling_factor=2.5
    )
    for row, chosen, found, all_scores in zip(X, experts.tolist(), weights, scores, strict=True):
        sigmoid = torch.sigmoid(row)
        choice = (sigmoid + bias).tolist()
        groups = [sorted(choice[g : g + 3], reverse=True) for g in range(0, 12, 3)]
        kept = sorted(range(4), key=lambda g: -sum(groups[g][: 2 if mode else 1]))[:2]
        best = sorted((e for e in range(12) if e // 3 in kept), key=lambda e: -choice[e])[:3]
        assert chosen == best
        torch.testing.assert_close(found, 2.5 * sigmoid[best] / sigmoid[best].sum(), rtol=1e-12, atol=0)
        torch.testing.assert_close(all_scores, sigmoid, rtol=1e-12, atol=0)


def test_softmax_weights_sum_to_one_only_when_renormalised() -> None:
    plain, again = (oracle.moe_gating_top_k(X, 4, renorm=renorm)[0].sum(-1) for renorm in (0, 1))
    assert bool((plain < 1).all())
    torch.testing.assert_close(again, torch.ones(5, dtype=torch.float64), rtol=1e-12, atol=0)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x: oracle.moe_gating_top_k(x, 2, norm_type=1)[0], (leaf(3, 5),))
