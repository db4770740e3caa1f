"""Each part of the DeepSeek V4 definition, against what can be written down by hand."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.deepseek_v4.attention import with_sink
from reference.oracles.deepseek_v4.compression import entries, overlapped, side_by_side
from reference.oracles.deepseek_v4.config import HASHED, SCORED, Config, Rope
from reference.oracles.deepseek_v4.experts import affinity, balance_loss, mixture, route, swiglu
from reference.oracles.deepseek_v4.hyper_connections import Mixing, collapse, expand, head, sinkhorn
from reference.oracles.deepseek_v4.indexer import indexer_loss, select
from reference.oracles.deepseek_v4.rotary import frequencies, turn
from reference.oracles.deepseek_v4.samples import Samples
from tests.reference.oracles.drawing import drawn
from tests.reference.oracles.tiny_v4 import config_of

CONFIG = config_of("flash")
ROPE = frequencies(Rope(1e4), 8)

# samples


def test_positions_restart_and_padding_has_none():
    samples = Samples.from_segments(torch.tensor([[0, 0, 1, 1, 1, 2, 2, 0]]))
    assert samples.position.tolist() == [[0, 0, 0, 1, 2, 0, 1, 0]]
    assert samples.sample.tolist() == [[0, 0, 1, 1, 1, 2, 2, 0]]


def test_one_id_in_two_places_is_two_samples():
    samples = Samples.from_segments(torch.tensor([[7, 7, 0, 7]]))
    assert samples.sample.tolist() == [[1, 1, 0, 2]]


def test_packed_positions_and_segments_are_the_same():
    positions = torch.tensor([[0, 1, 2, 0, 1, 0]])
    assert torch.equal(Samples.from_positions(positions).sample, torch.tensor([[1, 1, 1, 2, 2, 3]]))
    assert torch.equal(Samples.from_positions(positions).position, positions)


def test_windows_are_whole_and_of_one_sample():
    windows = Samples.from_segments(torch.tensor([[0, 1, 1, 1, 1, 1, 2, 2, 2]])).windows(2)
    assert windows.tokens.tolist() == [[[1, 2], [3, 4], [6, 7]]]
    assert windows.number.tolist() == [[0, 1, 0]]
    assert windows.sample.tolist() == [[1, 1, 2]]


def test_a_row_with_fewer_windows_says_so():
    windows = Samples.from_mask(torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]])).windows(2)
    assert windows.sample.tolist() == [[1, 1], [1, 0]]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 3), min_size=12, max_size=12), min_size=1, max_size=3), st.integers(1, 5), st.integers(1, 6))
def test_who_sees_whom_is_said_by_the_ids(rows, m, window):
    samples = Samples.from_segments(torch.tensor(rows))
    near, windows = samples.neighbours(window), samples.windows(m)
    ready = samples.ready(windows)
    for b, row in enumerate(rows):
        run = [sum(x != y for x, y in pairwise(row[: i + 1])) for i in range(12)]
        for q in range(12):
            for k in range(12):
                assert near[b, q, k] == (row[q] != 0 and run[q] == run[k] and k <= q < k + window)
            for w in range(ready.shape[2]):
                taken = windows.tokens[b, w].tolist()
                if ready[b, q, w]:
                    assert max(taken) <= q
                    assert {(run[t], row[t] != 0) for t in taken} == {(run[q], True)}
        whole = sum(length // m for length in Counter(r for r, name in zip(run, row, strict=True) if name).values())
        assert int((windows.sample[b] != 0).sum()) == whole


def test_a_target_stands_in_the_sample_of_its_prediction():
    samples = Samples.from_segments(torch.tensor([[0, 1, 1, 1, 2, 2, 0]]))
    assert samples.followed(1).tolist() == [[False, True, True, False, True, False, False]]
    assert samples.followed(2).tolist() == [[False, True, False, False, False, False, False]]
    assert samples.without_last().sample.tolist() == [[0, 1, 1, 0, 2, 0, 0]]


# rotary


def test_neighbouring_components_turn_and_leading_ones_do_not():
    turned = turn(torch.tensor([[[5.0, 1.0, 0.0]]]).double(), torch.tensor([[2]]), torch.tensor([0.25]).double())
    torch.testing.assert_close(turned, torch.tensor([[[5.0, math.cos(0.5), math.sin(0.5)]]]).double())


def test_back_undoes_forth():
    x, at = drawn(2, 6, 3, 12, seed=1), torch.arange(6).expand(2, 6)
    torch.testing.assert_close(turn(turn(x, at, ROPE), at, ROPE, back=True), x)
    assert not torch.allclose(turn(x, at, ROPE), x)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 5000))
def test_only_the_distance_matters(i, j, shift):
    q, k = drawn(1, 1, 8, seed=1), drawn(1, 1, 8, seed=2)

    def product(a, b):
        return (turn(q, torch.tensor([[a]]), ROPE) * turn(k, torch.tensor([[b]]), ROPE)).sum()

    torch.testing.assert_close(product(i, j), product(i + shift, j + shift), rtol=0, atol=1e-9)


def test_yarn_leaves_fast_pairs_slows_slow_ones_and_has_no_factor():
    plain, stretched = frequencies(Rope(160000.0), 64), frequencies(Rope(160000.0, 16.0, 65536), 64)
    ratio = plain / stretched
    turns = 65536 * plain / (2 * math.pi)
    assert ratio[turns > 40].eq(1).all()
    torch.testing.assert_close(ratio[turns < 0.6], torch.full_like(ratio[turns < 0.6], 16.0))
    assert (ratio.diff() >= 0).all()
    assert turns.max() > 40
    assert turns.min() < 0.6


# hyper-connections


def test_sinkhorn_is_doubly_stochastic():
    matrix = sinkhorn(drawn(50, 4, 4, seed=3), 20, 1e-6)
    torch.testing.assert_close(matrix.sum(-2), torch.ones(50, 4).double(), rtol=0, atol=2e-6)
    torch.testing.assert_close(matrix.sum(-1), torch.ones(50, 4).double(), rtol=0, atol=2e-3)
    assert matrix.min() > 0


def test_one_iteration_leaves_rows_uneven():
    assert (sinkhorn(drawn(50, 4, 4, seed=3), 1, 1e-6).sum(-1) - 1).abs().max() > 0.1


def test_sinkhorn_by_hand():
    """Without eps a 2 x 2 matrix of positive numbers ends where both diagonals have the product that they began with."""
    logits = torch.tensor([[1.0, 0.2], [-0.5, 0.3]]).double()
    cross = math.exp((1.0 + 0.3 - 0.2 + 0.5) / 2)  # sqrt of the cross ratio, which scaling rows and columns leaves alone
    a = cross / (1 + cross)
    torch.testing.assert_close(sinkhorn(logits, 60, 0.0), torch.tensor([[a, 1 - a], [1 - a, a]]).double())


def test_comb_is_transposed():
    streams = torch.tensor([[[[1.0], [10.0]]]]).double()
    comb = torch.tensor([[[[0.9, 0.1], [0.3, 0.7]]]]).double()
    mixed = Mixing(torch.zeros(1, 1, 2).double(), torch.tensor([[[2.0, 3.0]]]).double(), comb)
    found = expand(streams, torch.tensor([[[100.0]]]).double(), mixed)
    torch.testing.assert_close(found[0, 0, :, 0], torch.tensor([0.9 + 3.0 + 200, 0.1 + 7.0 + 300]).double())


def test_collapse_and_head_weigh_the_streams():
    streams = drawn(1, 2, 4, 8, seed=4)
    torch.testing.assert_close(collapse(streams, torch.tensor([1.0, 0, 0, 2]).double()), streams[:, :, 0] + 2 * streams[:, :, 3])
    zero = torch.zeros(4, 32).double(), torch.zeros(4).double(), torch.ones(1).double()
    torch.testing.assert_close(head(*zero, CONFIG, streams), streams.sum(2) * (0.5 + 1e-6))


# compression

WINDOWS = Samples.from_segments(torch.tensor([[1, 1, 1, 1, 2, 2, 2]])).windows(2)


def test_windows_side_by_side_take_their_own_tokens():
    values, gates = drawn(1, 7, 3, seed=5), drawn(1, 7, 3, seed=6)
    bias = drawn(2, 3, seed=7)
    found, weighed = side_by_side(values, gates, bias, WINDOWS)
    torch.testing.assert_close(found[0, 2], values[0, 4:6])
    torch.testing.assert_close(weighed[0, 1], gates[0, 2:4] + bias)


def test_overlapping_windows_take_series_a_of_the_one_before():
    values, gates = drawn(1, 7, 6, seed=5), drawn(1, 7, 6, seed=6)
    bias = drawn(2, 6, seed=7)
    found, weighed = overlapped(values, gates, bias, WINDOWS)
    torch.testing.assert_close(found[0, 1], torch.cat([values[0, 0:2, :3], values[0, 2:4, 3:]]))
    torch.testing.assert_close(weighed[0, 1], torch.cat([gates[0, 0:2, :3] + bias[:, :3], gates[0, 2:4, 3:] + bias[:, 3:]]))


def test_the_first_window_of_a_packed_sample_has_none_before_it():
    _, weighed = overlapped(drawn(1, 7, 6, seed=5), drawn(1, 7, 6, seed=6), drawn(2, 6, seed=7), WINDOWS)
    assert torch.isneginf(weighed[0, [0, 2], :2]).all()
    assert torch.isfinite(weighed[0, 1]).all()


def test_equal_gates_give_the_mean_turned_to_the_windows_beginning():
    weights = {
        "kv_proj.weight": torch.eye(8).double(), "gate_proj.weight": torch.zeros(8, 8).double(),
        "position_bias": torch.zeros(2, 8).double(), "kv_norm.weight": torch.ones(8).double(),
    }  # fmt: skip
    hidden = drawn(1, 7, 8, seed=8)
    found = entries(weights, hidden, WINDOWS, ROPE, 0.0, overlapping=False)[0, 1]
    mean = hidden[0, 2:4].mean(0)
    expected = turn((mean / mean.square().mean().sqrt())[None, None], torch.tensor([[2]]), ROPE)[0, 0]
    torch.testing.assert_close(found, expected)


# indexer


def test_the_k_best_of_what_is_ready_are_chosen():
    scores = torch.tensor([[[3.0, 9.0, 5.0, 4.0], [3.0, 9.0, 5.0, 4.0]]])
    ready = torch.tensor([[[True, False, True, True], [True, False, False, False]]])
    assert select(scores, ready, 2).tolist() == [[[False, False, True, True], [True, False, False, False]]]


def test_of_equal_scores_the_earlier_is_chosen():
    assert select(torch.zeros(1, 1, 4), torch.ones(1, 1, 4, dtype=torch.bool), 2).tolist() == [[[True, True, False, False]]]


def test_the_loss_is_the_divergence_from_the_attention_summed_over_heads():
    chosen = torch.tensor([[[True, True, False], [False, False, False]]])
    scores = torch.tensor([[[0.3, -1.0, 99.0], [1.0, 2.0, 3.0]]]).double().requires_grad_()
    attention = torch.tensor([[[[0.1, 0.2, 0.0], [0.0, 0.0, 0.0]], [[0.3, 0.1, 0.0], [0.0, 0.0, 0.0]]]]).double()
    loss = indexer_loss(scores, chosen, attention)
    p, q = torch.tensor([4 / 7, 3 / 7]).double(), torch.softmax(scores[0, 0, :2], 0)
    torch.testing.assert_close(loss, (p * (p / q).log()).sum())
    loss.backward()
    torch.testing.assert_close(scores.grad[0, 0, :2], (q - p).detach())  # the gradient of a cross-entropy by its logits
    assert scores.grad[0, 0, 2] == 0
    assert scores.grad[0, 1].eq(0).all()


def test_the_loss_is_zero_where_the_indexer_follows():
    attention = torch.softmax(drawn(1, 1, 3, 5, seed=9), -1)
    everything = torch.ones(1, 3, 5, dtype=torch.bool)
    assert abs(float(indexer_loss(attention[:, 0].log(), everything, attention))) < 1e-15


def test_no_choice_makes_no_loss_and_no_nan():
    scores = drawn(1, 2, 3, seed=1).requires_grad_()
    loss = indexer_loss(scores, torch.zeros(1, 2, 3, dtype=torch.bool), torch.zeros(1, 2, 2, 3).double())
    loss.backward()
    assert loss == 0
    assert scores.grad.eq(0).all()


# attention


def test_the_sink_takes_its_share_and_gives_nothing():
    queries, keys = drawn(1, 1, 2, 4, seed=1), drawn(1, 3, 4, seed=2)
    sinks = torch.tensor([0.7, -2.0]).double()
    found = with_sink(queries, keys, torch.tensor([[[True, True, False]]]), sinks)
    for h in range(2):
        powers = torch.exp(keys[0, :2] @ queries[0, 0, h] / 2)
        torch.testing.assert_close(found[0, h, 0, :2], powers / (powers.sum() + math.exp(sinks[h])))
    assert found[..., 2].eq(0).all()


def test_whoever_sees_nothing_gets_nothing():
    found = with_sink(drawn(1, 1, 2, 4, seed=1), drawn(1, 3, 4, seed=2), torch.zeros(1, 1, 3, dtype=torch.bool), torch.zeros(2).double())
    assert found.eq(0).all()


# experts


def test_affinity():
    x = torch.tensor([-3.0, 0.0, 2.0, 900.0]).double()
    torch.testing.assert_close(
        affinity(x), torch.tensor([math.sqrt(math.log1p(math.exp(v))) if v < 700 else 30.0 for v in x.tolist()]).double()
    )


def test_the_clamp():
    gate, up = torch.tensor([-50.0, 3.0, 50.0]).double(), torch.tensor([-50.0, 0.5, 50.0]).double()
    silu = gate.clamp(max=10) / (1 + torch.exp(-gate.clamp(max=10)))
    torch.testing.assert_close(swiglu(gate, up, 10.0), silu * torch.tensor([-10.0, 0.5, 10.0]).double())


def gate_weights():
    return {
        "weight": drawn(8, 6, seed=1), "e_score_correction_bias": torch.tensor([9.0, 0, 0, 0, 0, 0, 0, 8.0]).double(),
        "tid2eid": torch.tensor([[3, 5], [1, 6]]),
    }  # fmt: skip


def test_the_bias_chooses_and_does_not_weigh():
    hidden, weights = drawn(1, 4, 6, seed=2), gate_weights()
    routed = route(weights, CONFIG, SCORED, hidden, torch.zeros(1, 4, dtype=torch.long))
    assert routed.experts.tolist() == [[[0, 7]] * 4]
    raw = affinity(hidden @ weights["weight"].T)[..., [0, 7]]
    torch.testing.assert_close(routed.weights, raw / raw.sum(-1, keepdim=True) * 1.5)


def test_hashing_goes_by_the_token_and_weighs_by_the_score():
    hidden, weights = drawn(1, 2, 6, seed=2), gate_weights()
    routed = route(weights, CONFIG, HASHED, hidden, torch.tensor([[1, 0]]))
    assert routed.experts.tolist() == [[[1, 6], [3, 5]]]
    raw = affinity(hidden[0, 0] @ weights["weight"].T)[[1, 6]]
    torch.testing.assert_close(routed.weights[0, 0], raw / raw.sum() * 1.5)


def test_a_token_gets_its_experts_and_the_shared_one():
    weights = {f"gate.{name}": weight for name, weight in gate_weights().items()} | {
        "experts.gate_up_proj": drawn(8, 10, 6, seed=3), "experts.down_proj": drawn(8, 6, 5, seed=4),
        "shared_experts.gate_proj.weight": drawn(5, 6, seed=5), "shared_experts.up_proj.weight": drawn(5, 6, seed=6),
        "shared_experts.down_proj.weight": drawn(6, 5, seed=7),
    }  # fmt: skip
    hidden = drawn(1, 1, 6, seed=8)
    found, routed = mixture(weights, replace(CONFIG, swiglu_limit=1.0), HASHED, hidden, torch.tensor([[0]]))
    x = hidden[0, 0]

    def one(gate, up, down):
        return down @ (torch.nn.functional.silu((gate @ x).clamp(max=1)) * (up @ x).clamp(-1, 1))

    shared = one(*(weights[f"shared_experts.{name}_proj.weight"] for name in ("gate", "up", "down")))
    for expert, weight in zip((3, 5), routed.weights[0, 0], strict=True):
        inner = weights["experts.gate_up_proj"][expert]
        shared = shared + weight * one(inner[:5], inner[5:], weights["experts.down_proj"][expert])
    torch.testing.assert_close(found[0, 0], shared)


def test_balance_is_one_where_all_experts_are_alike_and_more_where_they_are_not():
    sample = torch.ones(1, 8, dtype=torch.long)
    even = route({**gate_weights(), "weight": torch.zeros(8, 6).double()}, CONFIG, HASHED, drawn(1, 8, 6, seed=1), torch.zeros(1, 8).long())
    torch.testing.assert_close(balance_loss(even, sample), torch.tensor(1.0).double())
    steep = replace(CONFIG, num_experts_per_tok=1)
    routed = route({**gate_weights(), "weight": 5 * drawn(8, 1, seed=1).expand(8, 6)}, steep, SCORED, torch.ones(1, 8, 6).double(), sample)
    assert balance_loss(routed, sample) > 1.1


def test_padding_is_not_balanced():
    routed = route(gate_weights(), CONFIG, SCORED, drawn(1, 8, 6, seed=1), torch.zeros(1, 8, dtype=torch.long))
    part = type(routed)(*(t[:, :5] for t in routed))
    sample = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0]])
    torch.testing.assert_close(balance_loss(routed, sample), balance_loss(part, sample[:, :5]))


# config


def test_the_configuration_is_read_by_attribute():
    assert config_of("pro").layer_types[0] == "heavily_compressed_attention"
    assert config_of("pro").qk_rope_head_dim == 8


def test_another_score_is_refused():
    with pytest.raises(ValueError, match="softmax: V4 scores"):
        Config.of(SimpleNamespace(scoring_func="softmax"))
