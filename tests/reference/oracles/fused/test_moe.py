"""Ways of tokens to experts and back, against loops, and there and back again."""

import torch

from reference.oracles.fused import moe as oracle
from tests.reference.oracles.drawing import drawn, leaf

N, K, E = 6, 2, 4
EXPERTS = torch.tensor([[0, 3], [2, 1], [3, 0], [1, 2], [0, 1], [3, 2]])
TOKENS = drawn(N, 5)
MAP = torch.zeros(N, E, dtype=torch.bool).scatter(1, EXPERTS, True)
PAIRS = [(token, expert) for expert in range(E) for token in range(N) if expert in EXPERTS[token].tolist()]


def test_permute_puts_rows_by_expert_and_says_where_each_went() -> None:
    rows, went = oracle.moe_token_permute(TOKENS, EXPERTS)
    assert torch.equal(rows, TOKENS[[token for token, _ in PAIRS]])
    for row, place in enumerate(went.tolist()):
        assert PAIRS[place] == (row // K, int(EXPERTS.reshape(-1)[row]))
    assert torch.equal(oracle.moe_token_permute(TOKENS, EXPERTS, 5)[0], rows[:5])


def test_there_and_back_gives_the_token_times_the_sum_of_its_probabilities() -> None:
    rows, went = oracle.moe_token_permute(TOKENS, EXPERTS)
    probs = drawn(N, K, seed=1)
    torch.testing.assert_close(oracle.moe_token_unpermute(rows, went, probs), TOKENS * probs.sum(1, keepdim=True), rtol=1e-12, atol=1e-14)


def test_rows_that_were_not_kept_add_nothing() -> None:
    rows, went = oracle.moe_token_permute(TOKENS, EXPERTS, 5)
    counts = torch.tensor([sum(int(place) < 5 for place in went[token * K : token * K + K]) for token in range(N)])
    out = oracle.moe_token_unpermute(rows, went, torch.ones(N, K, dtype=torch.float64))
    torch.testing.assert_close(out, TOKENS * counts[:, None], rtol=1e-12, atol=0)


def test_by_a_map_and_back() -> None:
    probs = drawn(N, E, seed=2)
    rows, row_probs, index = oracle.moe_token_permute_with_routing_map(TOKENS, MAP, probs=probs, num_out_tokens=N * K)
    assert torch.equal(rows, TOKENS[[token for token, _ in PAIRS]])
    assert row_probs.tolist() == [float(probs[pair]) for pair in PAIRS]
    assert [PAIRS[place] for place in index.tolist()] == sorted(PAIRS)
    back = oracle.moe_token_unpermute_with_routing_map(rows, index, [N, 5], probs=probs, routing_map=MAP)
    torch.testing.assert_close(back, TOKENS * (probs * MAP).sum(1, keepdim=True), rtol=1e-12, atol=1e-14)


def test_with_a_capacity_each_expert_has_as_many_rows() -> None:
    rows, _, index = oracle.moe_token_permute_with_routing_map(TOKENS, MAP, probs=drawn(N, E), num_out_tokens=2 * E, drop_and_pad=True)
    expected = [token for expert in range(E) for token in [t for t, e in PAIRS if e == expert][:2]]
    assert index.tolist() == expected
    assert torch.equal(rows, TOKENS[expected])


def test_the_first_routing_numbers_rows_by_columns() -> None:
    row_idx = torch.arange(N * K, dtype=torch.int32).view(K, N).T
    rows, index, experts = oracle.moe_init_routing(TOKENS, row_idx, EXPERTS, N)
    assert experts.tolist() == sorted(EXPERTS.reshape(-1).tolist())
    assert torch.equal(rows[index.long()], torch.cat([TOKENS] * K))  # row `j * tokens + t` is token t


def test_the_second_routing_with_a_range_and_with_a_capacity() -> None:
    rows, index, counts = oracle.moe_init_routing_v2(TOKENS, EXPERTS, expert_num=E, active_expert_range=[1, 3])
    inside = [pair for pair in PAIRS if 1 <= pair[1] < 3]
    assert torch.equal(rows[: len(inside)], TOKENS[[token for token, _ in inside]])
    assert not rows[len(inside) :].any()
    assert counts.tolist() == [sum(expert == e for _, expert in PAIRS) for e in (1, 2)]
    assert sorted(index.tolist())[: N * K - len(inside)] == [-1] * (N * K - len(inside))
    rows, index, _ = oracle.moe_init_routing_v2(TOKENS, EXPERTS, expert_num=E, expert_capacity=2, drop_pad_mode=1)
    for row, place in enumerate(index.tolist()):
        if place >= 0:
            assert place // 2 == int(EXPERTS.reshape(-1)[row])
            assert torch.equal(rows.reshape(-1, 5)[place], TOKENS[row // K])
    assert (index >= 0).sum() == 2 * E


def test_counting() -> None:
    assert oracle.moe_compute_expert_tokens(torch.tensor([0, 0, 2, 2, 5]), 7).tolist() == [2, 2, 4, 4, 4, 5, 5]


def test_ranks_are_put_by_expert() -> None:
    rows, scales, index, counts = oracle.moe_re_routing(
        torch.arange(9).unsqueeze(1), torch.tensor([[1, 2, 0], [3, 1, 2]], dtype=torch.int32), per_token_scales=torch.arange(9)
    )
    assert index.tolist() == scales.tolist() == rows[:, 0].tolist() == [0, 3, 4, 5, 1, 2, 6, 7, 8]
    assert counts.tolist() == [4, 3, 2]


def test_finalize_by_a_loop() -> None:
    rows, scales, bias, skip = drawn(N * K, 5), drawn(N, K, seed=1), drawn(E, 5, seed=2), drawn(N, 5, seed=3)
    index = torch.randperm(N * K, generator=torch.Generator().manual_seed(0))
    for mode in (0, 2):
        found = oracle.moe_finalize_routing(rows, skip, None, bias, scales, index, EXPERTS, drop_pad_mode=mode)
        for token in range(N):
            places = [index[token * K + k if mode == 2 else k * N + token] for k in range(K)]
            total = skip[token] + sum(scales[token, k] * (rows[places[k]] + bias[EXPERTS[token, k]]) for k in range(K))
            torch.testing.assert_close(found[token], total, rtol=1e-12, atol=1e-14)


def test_gradients_are_those_of_finite_differences() -> None:
    went = oracle.moe_token_permute(TOKENS, EXPERTS)[1]
    assert torch.autograd.gradcheck(lambda rows, probs: oracle.moe_token_unpermute(rows, went, probs), (leaf(N * K, 2), leaf(N, K, seed=1)))
