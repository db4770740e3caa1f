"""What of a model is quantised and where, what it then computes with, and where gradients go."""

import pytest
import torch
from torch import nn

from harness.errors import AssayError
from reference.oracles.block_formats import FP8_ACTIVATIONS, FP8_ENTRIES, FP8_WEIGHTS, MXFP4
from suites.assets.families import FAMILIES, PREFIX, tiny_module
from suites.workloads.post_training.quantised import Quantised, StraightThrough, at, formats, places, quantise_activations, stored
from suites.workloads.post_training.sft import next_token
from tests.suites.workloads.tiny_model import batches, tiny


@pytest.mark.parametrize("family", FAMILIES)
def test_experts_have_four_bits_and_routers_heads_and_compressors_none(family):
    chosen = formats(tiny_module(PREFIX + family))
    four = {name for name, form in chosen.items() if form is MXFP4}
    part = ".mlp.experts." if "deepseek" in family or "moe" in family else ".mlp."
    assert four
    assert all(part in name for name in four)
    assert set(chosen.values()) == {MXFP4, FP8_WEIGHTS}
    assert not any(
        word in name for name in chosen for word in ("lm_head", "embed", ".gate.", "compressor.kv", "compressor.gate", "weights_proj")
    )


def test_of_deepseek_v4_what_is_named_in_the_map_has_eight_bits():
    chosen = formats(tiny_module("tiny:deepseek_v4-flash"))
    layer = {
        n.removeprefix("model.layers.2.").removesuffix(".weight") for n, form in chosen.items() if form is FP8_WEIGHTS and ".layers.2." in n
    }
    attention = {f"self_attn.{n}" for n in ("q_a_proj", "q_b_proj", "kv_proj", "o_a_proj", "o_b_proj", "compressor.indexer.q_b_proj")}
    assert layer == attention | {f"mlp.shared_experts.{n}_proj" for n in ("gate", "up", "down")}


def test_a_model_with_nothing_to_quantise_is_refused():
    with pytest.raises(AssayError, match="no experts and no MLP"):
        formats(nn.Sequential(nn.Linear(2, 2)))


def test_computes_with_the_weights_after_quantisation_and_trains_those_before():
    model, other, tokens = tiny(), tiny(), batches(None, 2, 16, 1)[0]
    chosen = formats(model)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name in chosen:
                parameter.copy_((MXFP4 if ".mlp." in name else FP8_WEIGHTS).round_trip(parameter))
    losses = [next_token(net, {"tokens": tokens})["loss"] for net in (Quantised(model, chosen), other)]
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()
    for (name, ours), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9, msg=name)
    assert not torch.equal(model.model.layers[0].mlp.up_proj.weight, other.model.layers[0].mlp.up_proj.weight)


def test_the_gradient_passes_straight_through():
    x = torch.randn(3, 40, requires_grad=True)
    made, weight = StraightThrough.apply(x, MXFP4), torch.randn(3, 40)
    (made * weight).sum().backward()
    assert torch.equal(x.grad, weight)
    assert not torch.equal(made, x)


def test_activations_are_quantised_before_each_quantised_layer():
    model, seen = tiny(), []
    quantise_activations(model, places(model, formats(model)))
    for name, part in model.named_modules():
        if isinstance(part, nn.Linear) and name != "lm_head":
            part.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    model(input_ids=batches(None, 1, 16, 1)[0])
    assert len(seen) == 2 * 7
    assert all(torch.equal(x, FP8_ACTIVATIONS.round_trip(x)) for x in seen)


def test_of_deepseek_v4_indexer_and_entries_are_quantised_and_of_others_not():
    where = places(tiny_module("tiny:deepseek_v4-flash"), {})
    indexer = "model.layers.2.self_attn.compressor.indexer.scorer"
    assert [(one.module, one.argument) for one in where if one.form is MXFP4] == [(indexer, 0), (indexer, 1)]
    entries = {one.module for one in where if one.form is FP8_ENTRIES}
    own = {f"model.layers.{i}.self_attn.kv_norm" for i in range(4)}
    assert entries == own | {f"model.layers.{i}.self_attn.compressor.kv_norm" for i in (2, 3)}
    assert {one.width for one in where if one.form is FP8_ENTRIES} == {24}
    assert places(tiny_module("tiny:deepseek_v32"), {}) == ()


def test_a_model_of_deepseek_v4_computes_with_quantised_queries_keys_and_entries():
    model = tiny_module("tiny:deepseek_v4-flash")
    where, seen = places(model, {}), {}
    quantise_activations(model, where)
    for one in where:
        at(model, one, lambda x, one=one: seen.setdefault(one, x.detach()))
    model(input_ids=batches(None, 1, 32, 1)[0] % 256)
    assert seen.keys() == set(where)
    for one, x in seen.items():
        part = x[..., : one.width]
        assert torch.equal(part, one.form.round_trip(part))
        assert one.width is None or not torch.equal(x, one.form.round_trip(x))


def test_stored_entries_are_eight_bits_and_bfloat16_and_the_gradient_passes():
    x, upstream = torch.randn(5, 96, requires_grad=True), torch.randn(5, 96)
    entries = stored(x, 16)
    assert torch.equal(entries[:, :-16], FP8_ENTRIES.round_trip(x.detach()[:, :-16]))
    assert torch.equal(entries[:, -16:], x.detach()[:, -16:].bfloat16().float())
    assert torch.equal(torch.autograd.grad(entries, x, upstream)[0], upstream)
