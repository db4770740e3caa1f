"""Lightning indexer, sparse attention and the indexer's loss: against loops, against dense attention, against torch's KL divergence."""

import torch
import torch.nn.functional as F

from reference.oracles.fused import indexer_loss
from reference.oracles.fused import sparse_attention as oracle
from tests.reference.oracles.drawing import drawn, leaf

ENDS, KEY_ENDS = torch.tensor([3, 5]), torch.tensor([6, 8])


def test_the_best_keys_come_first_and_none_that_is_not_seen() -> None:
    query, key, weights = drawn(5, 2, 4), drawn(8, 1, 4, seed=1), drawn(5, 2, seed=2).abs()
    indices, values = oracle.lightning_indexer(query, key, weights, ENDS, KEY_ENDS, 4, causal=True)
    starts = [(0, 6, 4), (0, 6, 5), (0, 6, 6), (6, 2, 1), (6, 2, 2)]  # of each query: first key, keys, how many it sees
    for row, (first, _, seen) in enumerate(starts):
        scores = [sum(float(weights[row, h]) * max(float(query[row, h] @ key[first + k, 0]), 0.0) for h in range(2)) for k in range(seen)]
        order = sorted(range(seen), key=lambda k, scores=scores: -scores[k])[:4]
        assert indices[row, 0].tolist() == order + [-1] * (4 - len(order))
        torch.testing.assert_close(values[row, 0, : len(order)], torch.tensor([scores[k] for k in order], dtype=torch.float64))
        assert torch.isneginf(values[row, 0, len(order) :]).all()


def test_with_every_key_chosen_it_is_causal_attention() -> None:
    query, key, query_rope, key_rope = drawn(5, 2, 4), drawn(8, 1, 4, seed=1), drawn(5, 2, 3, seed=2), drawn(8, 1, 3, seed=3)
    everything = torch.arange(6).expand(5, 1, 6).clone()
    everything[3:, :, 2:] = -1
    out, top, total = oracle.sparse_flash_attention(query, key, everything, 0.3, query_rope, key_rope, ENDS, KEY_ENDS)
    for rows, keys in ((slice(0, 3), slice(0, 6)), (slice(3, 5), slice(6, 8))):
        q, k = torch.cat([query, query_rope], -1)[rows], torch.cat([key, key_rope], -1)[keys, 0]
        seen = oracle.visible(len(q), len(k), torch.device("cpu"))
        values = key[keys, 0].expand(2, -1, -1)
        expected = F.scaled_dot_product_attention(q.transpose(0, 1), k.expand(2, -1, -1), values, seen, scale=0.3)
        torch.testing.assert_close(out[rows].transpose(0, 1), expected)
        scores = torch.einsum("qhd,kd->qhk", q, k).mul(0.3).masked_fill(~seen[:, None], -torch.inf)
        torch.testing.assert_close((top + torch.log(total))[0, rows], torch.logsumexp(scores, -1))


def test_only_chosen_keys_count_and_in_no_order() -> None:
    query, key, rope = drawn(1, 1, 4), drawn(4, 1, 4, seed=1), torch.zeros(1, 1, 2, dtype=torch.float64)
    ends = torch.tensor([1]), torch.tensor([4])
    key_rope = torch.zeros(4, 1, 2, dtype=torch.float64)
    found = oracle.sparse_flash_attention(query, key, torch.tensor([[[3, 1, -1]]]), 0.3, rope, key_rope, *ends)[0]
    picked = key[[1, 3], 0]
    torch.testing.assert_close(found[0, 0], torch.softmax(query[0, 0] @ picked.T * 0.3, -1) @ picked)


def test_gradients_of_sparse_attention_are_those_of_finite_differences() -> None:
    chosen = torch.tensor([[[0, 2]], [[1, -1]]])

    def attend(q: torch.Tensor, k: torch.Tensor, qr: torch.Tensor, kr: torch.Tensor) -> torch.Tensor:
        return oracle.sparse_flash_attention(q, k, chosen, 0.3, qr, kr, torch.tensor([2]), torch.tensor([3]))[0]

    operands = (leaf(2, 2, 3), leaf(3, 1, 3, seed=1), leaf(2, 2, 2, seed=2), leaf(3, 1, 2, seed=3))
    assert torch.autograd.gradcheck(attend, operands)


def test_the_loss_is_torchs_divergence_and_its_gradient_autograds() -> None:
    query, key, weights = leaf(2, 5, 3, 4), leaf(2, 5, 1, 4, seed=1), drawn(2, 5, 3, seed=2).abs().requires_grad_()
    seen = indexer_loss.causal(5, 2, torch.device("cpu"))
    scores = drawn(2, 4, 5, 5, seed=3).masked_fill(~seen[:, None], -torch.inf)
    *found, loss = indexer_loss.kl_loss(indexer_loss.Indexed(query, key, weights), scores, seen)
    target = torch.softmax(scores, -1).mean(1)
    index = (torch.relu(torch.einsum("bqhd,bkd->bqhk", query, key[:, :, 0])) * weights[..., None]).sum(2).masked_fill(~seen, -torch.inf)
    log_prob = torch.log_softmax(index, -1).masked_fill(~seen, 0.0)
    expected = F.kl_div(log_prob, target, reduction="sum")
    torch.testing.assert_close(loss[0], expected.detach())
    for one, other in zip(found, torch.autograd.grad(expected, (query, key, weights)), strict=True):
        torch.testing.assert_close(one, other)


def test_indices_say_what_is_seen() -> None:
    seen = indexer_loss.at(torch.tensor([[[[1, -1]], [[0, 2]]]]), 3)
    assert seen.tolist() == [[[False, True, False], [True, False, True]]]


def test_statistics_of_the_indexer_and_of_the_attention() -> None:
    query, key, weights = drawn(1, 4, 2, 3), drawn(1, 4, 1, 3, seed=1), drawn(1, 4, 2, seed=2)
    top, total = indexer_loss.dense_softmax_lse(query, key, weights)
    scores = oracle.index_scores(query[0], key[0, :, 0], weights[0])
    for row in range(4):
        torch.testing.assert_close((top + torch.log(total))[0, 0, row], torch.logsumexp(scores[row, : row + 1], -1))
    attention = drawn(1, 2, 4, 4, seed=3)
    first, second = indexer_loss.statistics(attention)
    assert first.shape == second.shape == (1, 1, 4, 2)
    torch.testing.assert_close((first + torch.log(second))[0, 0].T, torch.logsumexp(attention[0], -1))
