"""Quantization-aware training: which weights in which format, what the model computes with, and where gradients go."""

import pytest
import torch
from torch import nn

from harness.errors import AssayError
from harness.inputs import Inputs
from reference.oracles.block_formats import E2M1, E4M3, MX_BLOCK, WEIGHT_BLOCK, Rule, round_trip
from suites.assets.families import FAMILIES, PREFIX, tiny_module
from suites.workloads.post_training import qat as module
from suites.workloads.post_training.qat import FP8, MXFP4, Quantised, StraightThrough, formats, qat, quantise_activations
from suites.workloads.post_training.sft import next_token
from tests.suites.workloads.tiny_model import batches, inputs, run, tiny, use_tiny

PARAMS = {"model": "default", "batch": 2, "length": 16, "steps": 2, "learning_rate": 1e-2}


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    use_tiny(monkeypatch, module)


@pytest.mark.parametrize("family", FAMILIES)
def test_experts_have_four_bits_and_routers_heads_and_compressors_none(family):
    chosen = formats(tiny_module(PREFIX + family))
    four = {name for name, form in chosen.items() if form is MXFP4}
    part = ".mlp.experts." if "deepseek" in family or "moe" in family else ".mlp."
    assert four
    assert all(part in name for name in four)
    assert set(chosen.values()) == {MXFP4, FP8}
    assert not any(
        word in name for name in chosen for word in ("lm_head", "embed", ".gate.", "compressor.kv", "compressor.gate", "weights_proj")
    )


def test_of_deepseek_v4_what_is_named_in_the_map_has_eight_bits():
    chosen = formats(tiny_module("tiny:deepseek_v4-flash"))
    layer = {n.removeprefix("model.layers.2.").removesuffix(".weight") for n, form in chosen.items() if form is FP8 and ".layers.2." in n}
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
                element, block = (E2M1, MX_BLOCK) if ".mlp." in name else (E4M3, WEIGHT_BLOCK)
                parameter.copy_(round_trip(parameter, element, block, Rule.CEILING))
    losses = [next_token(net, {"tokens": tokens})["loss"] for net in (Quantised(model, chosen), other)]
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()
    for (name, ours), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9, msg=name)
    assert not torch.equal(model.model.layers[0].mlp.up_proj.weight, other.model.layers[0].mlp.up_proj.weight)


def test_the_gradient_passes_straight_through():
    x = torch.randn(3, 40, requires_grad=True)
    made, weight = StraightThrough.apply(x, E2M1, MX_BLOCK), torch.randn(3, 40)
    (made * weight).sum().backward()
    assert torch.equal(x.grad, weight)
    assert not torch.equal(made, x)


def test_activations_are_quantised_before_each_quantised_layer():
    model, seen = tiny(), []
    quantise_activations(model, formats(model))
    for name, part in model.named_modules():
        if isinstance(part, nn.Linear) and name != "lm_head":
            part.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    model(input_ids=batches(None, 1, 16, 1)[0])
    assert len(seen) == 2 * 7
    assert all(torch.equal(x, round_trip(x, E4M3, (1, 128), Rule.CEILING)) for x in seen)


@pytest.mark.parametrize("activations", [False, True])
def test_training_lowers_the_loss(activations):
    losses = run(qat(inputs(), **{**PARAMS, "steps": 1}, activations=activations), 12)["loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_codes_are_those_of_the_golden():
    ours, exact = (run(qat(i, **PARAMS, activations=False, detailed=True)) for i in (inputs(), inputs(golden=True)))
    for name in ("first/codes_4", "first/codes_8"):
        assert ours[name].dtype is torch.uint8
        assert torch.equal(ours[name], exact[name])
    torch.testing.assert_close(ours["loss"].double(), exact["loss"], rtol=1e-5, atol=0)


def test_a_rerun_takes_many_steps_of_the_rounding():
    moved = Inputs(0, torch.float32, lambda tensor: tensor, torch.device("cpu"), moved=3)
    ours, theirs = (run(qat(i, **PARAMS, activations=False, detailed=True)) for i in (inputs(), moved))
    assert 1 <= int((ours["first/codes_8"] != theirs["first/codes_8"]).sum()) < 100
