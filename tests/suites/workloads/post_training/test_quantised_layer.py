"""Quantised layers on given numbers: they are the families' own, and what is wrong shows in the operand that it is wrong of."""

import pytest
import torch

from reference.oracles.block_formats import E4M3, FP8_ACTIVATIONS, FP8_WEIGHTS, MXFP4, Blocks, dequantise
from suites.workloads.post_training import quantised
from suites.workloads.post_training.quantised_layer import CASES, Layer, quantised_layer
from tests.suites.workloads.tiny_model import inputs

FAMILIES = sorted({case.params["model"] for case in CASES})


def outputs(model="tiny:llama", **which):
    return quantised_layer(inputs(**which), model=model).call()


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_operands_codes_and_scales_are_those_of_the_golden(model, dtype):
    ours, exact = outputs(model, dtype=dtype), outputs(model, dtype=dtype, golden=True)
    assert ours.keys() == exact.keys()
    for name in (n for n in ours if n.startswith(("operand/", "codes/", "scales/"))):
        assert torch.equal(ours[name].double(), exact[name].double()), name


@pytest.mark.parametrize("model", FAMILIES)
def test_codes_times_scales_are_the_operand(model):
    found = outputs(model)
    for name in (n.removeprefix("operand/") for n in found if n.startswith("operand/")):
        form = FP8_ACTIVATIONS if name.startswith("activation") else FP8_WEIGHTS if ".self_attn." in name else MXFP4
        bits, scales = found[f"codes/{name}"], torch.exp2(found[f"scales/{name}"].double() - 127)
        if form.element is E4M3:
            numbers = bits.view(torch.float8_e4m3fn).double()
        else:
            numbers = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6] * 2, dtype=torch.float64)[bits.long()] * torch.where(bits < 8, 1, -1)
        assert torch.equal(dequantise(Blocks(numbers, scales), form.block), found[f"operand/{name}"].double()), name


def test_a_layer_bears_the_names_of_its_family():
    names = {name for name, _ in Layer("deepseek_v4-flash").named_parameters()}
    assert names == {"layer.self_attn.o_a_proj.weight", "layer.mlp.experts.gate_up_proj", "layer.mlp.experts.down_proj"}
    assert {name for name, _ in Layer("llama").named_parameters()} == {"layer.self_attn.q_proj.weight", "layer.mlp.up_proj.weight"}


def test_the_product_is_that_of_the_operands_and_its_gradients_pass_straight_through():
    found = outputs(golden=True)
    x, w = found["operand/activation/01/layer.self_attn.q_proj"].double(), found["operand/weight/layer.self_attn.q_proj.weight"].double()
    torch.testing.assert_close(found["out/linear"], x @ w.T, rtol=1e-12, atol=1e-12)
    upstream = inputs(golden=True).normal("upstream_0", (40, 192), dtype=torch.float32)
    torch.testing.assert_close(found["grad/x"], upstream @ w, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found["grad/layer.self_attn.q_proj.weight"], upstream.T @ x, rtol=1e-12, atol=1e-12)


def test_an_activation_that_is_not_quantised_shows_in_its_operand_alone(monkeypatch):
    right = outputs()
    monkeypatch.setattr(quantised.Place, "rounded", lambda self, x: x)
    wrong = outputs()
    changed = {name for name in right if name.startswith(("operand/", "codes/")) and not torch.equal(right[name], wrong[name])}
    assert changed == {"operand/activation/00/layer.mlp.up_proj", "operand/activation/01/layer.self_attn.q_proj"}
