"""The whole DeepSeek V4 definition: causality, padding, packing, MTP, the indexer's training, and float32 beside float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.deepseek_v4.losses import losses, prediction_loss
from reference.oracles.deepseek_v4.model import forward, predict_further
from reference.oracles.deepseek_v4.samples import Samples
from tests.reference.oracles.tiny_v4 import KINDS, config_of, our_logits, tokens, weights_of, with_mtp

ROUNDING = 1e-12
each_kind = pytest.mark.parametrize("kind", KINDS)


def largest(one, other):
    return float((one - other).abs().max())


@each_kind
@settings(deadline=None, max_examples=4)
@given(st.integers(0, 39))
def test_a_token_changes_nothing_before_it(kind, at):
    ids = tokens(1, 40)
    changed = ids.clone()
    changed[0, at] = (ids[0, at] + 1) % 256
    moved = (our_logits(kind, changed) - our_logits(kind, ids)).abs().amax(-1)[0]
    assert moved[:at].eq(0).all()
    assert moved[at] > 1e-6


@each_kind
def test_what_left_the_sliding_window_is_seen_through_its_entry(kind):
    """The first token is 47 places away from the last and 16 are in the window of a layer; four layers of window see 60 back."""
    config, weights = config_of(kind), weights_of(kind)
    ids = tokens(1, 80)
    changed = ids.clone()
    changed[0, 0] = (ids[0, 0] + 1) % 256
    sliding = type(config)(**{**config.__dict__, "layer_types": ("sliding_attention",) * 4})
    seen, unseen = (largest(forward(weights, c, changed).logits[0, 79], forward(weights, c, ids).logits[0, 79]) for c in (config, sliding))
    assert seen > 1e-7
    assert unseen == 0


@each_kind
@settings(deadline=None, max_examples=4)
@given(left=st.integers(0, 17), right=st.integers(0, 9))
def test_padding_on_either_side_changes_nothing(kind, left, right):
    ids = tokens(2, 37)
    wide = torch.nn.functional.pad(ids, (left, right), value=256)
    samples = Samples.from_mask(torch.nn.functional.pad(torch.ones_like(ids), (left, right)))
    assert largest(our_logits(kind, wide, samples)[:, left : left + 37], our_logits(kind, ids)) < ROUNDING


@each_kind
@settings(deadline=None, max_examples=4)
@given(st.lists(st.integers(1, 34), min_size=2, max_size=4))
def test_packed_samples_are_as_alone(kind, lengths):
    rows = [tokens(1, length, f"sample{i}") for i, length in enumerate(lengths)]
    segments = torch.repeat_interleave(torch.arange(1, len(rows) + 1), torch.tensor(lengths))[None]
    packed = our_logits(kind, torch.cat(rows, 1), Samples.from_segments(segments))
    alone = torch.cat([our_logits(kind, row) for row in rows], 1)
    assert largest(packed, alone) < ROUNDING


@each_kind
def test_packed_samples_have_the_losses_and_gradients_of_the_samples_alone(kind):
    """The means are over what is predicted, so those of the samples are weighted by how much that is."""
    lengths, config = (21, 34), config_of(kind)
    rows = [tokens(1, length, f"sample{i}") for i, length in enumerate(lengths)]
    packed, apart = with_mtp(kind, leaves=True), with_mtp(kind, leaves=True)
    samples = Samples.from_segments(torch.repeat_interleave(torch.tensor([1, 2]), torch.tensor(lengths))[None])
    together = losses(packed, config, torch.cat(rows, 1), samples)
    each = [losses(apart, config, row) for row in rows]
    torch.testing.assert_close(together.next_token, (20 * each[0].next_token + 33 * each[1].next_token) / 53)
    torch.testing.assert_close(together.further, (19 * each[0].further + 32 * each[1].further) / 51)
    together.next_token.backward()
    ((20 * each[0].next_token + 33 * each[1].next_token) / 53).backward()
    for name, weight in packed.items():
        if weight.grad is not None:
            torch.testing.assert_close(weight.grad, apart[name].grad, rtol=1e-9, atol=1e-15)


@each_kind
def test_every_weight_learns_from_the_losses_together(kind):
    weights = with_mtp(kind, leaves=True)
    found = losses(weights, config_of(kind), tokens(2, 64))
    (found.next_token + found.further + found.indexer).backward()
    assert [name for name, weight in weights.items() if weight.requires_grad and (weight.grad is None or not weight.grad.any())] == []


@each_kind
def test_the_indexer_learns_from_its_own_loss_alone_and_nothing_else_does(kind):
    weights = weights_of(kind, leaves=True)
    result = forward(weights, config_of(kind), tokens(2, 64))
    prediction_loss(result.logits, tokens(2, 64), Samples.from_mask(torch.ones(2, 64)), 1).backward(retain_graph=True)
    indexer = {name for name in weights if ".indexer." in name}
    assert {name for name, weight in weights.items() if weight.requires_grad and weight.grad is None} == indexer
    for weight in weights.values():
        weight.grad = None
    torch.stack(result.indexer_losses()).sum().backward()
    assert {name for name, weight in weights.items() if weight.grad is not None} == indexer


def test_training_by_its_loss_brings_the_indexer_to_the_attention():
    config, ids, weights = config_of("flash"), tokens(2, 48), weights_of("flash")
    weights |= {name: weight.clone().requires_grad_() for name, weight in weights.items() if ".indexer." in name}
    trained = [weight for name, weight in weights.items() if ".indexer." in name]
    optimizer = torch.optim.Adam(trained, lr=1e-2)
    followed = []
    for _ in range(16):
        optimizer.zero_grad()
        loss = forward(weights, config, ids).indexer_losses()[0]
        loss.backward()
        optimizer.step()
        followed.append(float(loss.detach()))
    assert followed[-1] < 0.5 * followed[0]


@each_kind
def test_mtp_sees_the_next_token_and_no_further(kind):
    weights, config, ids = with_mtp(kind), config_of(kind), tokens(1, 40)
    changed = ids.clone()
    changed[0, 30] = (ids[0, 30] + 1) % 256

    def predicted(row):
        return predict_further(weights, config, forward(weights, config, row).streams, row)

    moved = (predicted(changed) - predicted(ids)).abs().amax(-1)[0]
    assert moved[:29].eq(0).all()
    assert moved[29] > 1e-6


def test_mtp_does_not_read_the_next_sample():
    weights, config, ids = with_mtp("flash"), config_of("flash"), tokens(1, 40)
    changed = ids.clone()
    changed[0, 20:] = (ids[0, 20:] + 1) % 256
    samples = Samples.from_segments(torch.tensor([[1] * 20 + [2] * 20]))
    first = [
        predict_further(weights, config, forward(weights, config, row, samples).streams, row, samples)[:, :19] for row in (ids, changed)
    ]
    assert torch.equal(*first)


def test_a_prediction_loss_is_the_mean_cross_entropy_of_what_follows():
    logits, ids = our_logits("flash", tokens(2, 20)), tokens(2, 20)
    everything = Samples.from_mask(torch.ones(2, 20))
    for ahead in (1, 2):
        expected = torch.nn.functional.cross_entropy(logits[:, :-ahead].flatten(0, 1), ids[:, ahead:].flatten())
        torch.testing.assert_close(prediction_loss(logits, ids, everything, ahead), expected)


@each_kind
def test_float32_is_float64_but_for_rounding(kind):
    narrow = {name: weight.float() if weight.is_floating_point() else weight for name, weight in weights_of(kind).items()}
    found = forward(narrow, config_of(kind), tokens(2, 64)).logits
    assert found.dtype is torch.float32
    assert 1e-8 < largest(found.double(), our_logits(kind, tokens(2, 64))) < 1e-5


def test_gradients_are_those_of_finite_differences():
    config, ids, weights = config_of("flash"), tokens(1, 36), with_mtp("flash", leaves=True)
    names = [
        "model.layers.2.self_attn.compressor.gate_proj.weight",
        "model.layers.0.attn_hc.fn",
        "model.layers.3.self_attn.sinks",
        "mtp.0.h_proj.weight",
    ]

    def total():
        found = losses(weights, config, ids)
        return found.next_token + found.further

    total().backward()
    for name in names:
        direction = weights[name].grad / weights[name].grad.norm()
        step = 1e-4
        with torch.no_grad():
            weights[name] += step * direction
            above = total()
            weights[name] -= 2 * step * direction
            below = total()
            weights[name] += step * direction
        torch.testing.assert_close((above - below) / (2 * step), weights[name].grad.norm(), rtol=1e-3, atol=0)
