"""Quantization-aware training: what it trains, and what it shows of each operand."""

import pytest
import torch

from harness.inputs import Inputs
from reference.oracles.block_formats import FP8_ACTIVATIONS, MXFP4
from suites.workloads.post_training import qat as module
from suites.workloads.post_training.qat import qat, qat_operands
from tests.suites.workloads.tiny_model import batches, inputs, run, tiny, use_tiny

PARAMS = {"model": "default", "batch": 2, "length": 16, "steps": 2, "learning_rate": 1e-2}


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    use_tiny(monkeypatch, module)


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


OPERANDS = {"model": "default", "batch": 2, "length": 16, "learning_rate": 1e-2}


def test_operands_are_those_of_the_golden_in_every_dtype_to_the_bit():
    plain, narrow, exact = (run(qat_operands(i, **OPERANDS)) for i in (inputs(), inputs(torch.bfloat16), inputs(golden=True)))
    names = [name for name in plain if name.startswith(("first/weight/", "first/activation/"))]
    assert len(names) == 4 * 7
    for name in names:
        assert torch.equal(plain[name].double(), exact[name].double()), name
        assert torch.equal(plain[name], narrow[name]), name
    torch.testing.assert_close(plain["loss"].double(), exact["loss"], rtol=1e-6, atol=0)


def test_operands_are_what_quantisation_leaves_of_what_the_model_has_there():
    found = run(qat_operands(inputs(), **OPERANDS))
    first = next(name for name in found if name.startswith("first/activation/") and name.endswith("layers.0.self_attn.q_proj"))
    model = tiny()
    hidden = model.model.layers[0].input_layernorm(model.get_input_embeddings()(batches(None, 2, 16, 1)[0]))
    torch.testing.assert_close(found[first], FP8_ACTIVATIONS.round_trip(hidden.detach()), rtol=0.15, atol=1e-3)
    weight = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(found[f"first/weight/{weight}"], MXFP4.round_trip(model.get_parameter(weight).detach()))


def test_an_activation_that_is_not_quantised_shows(monkeypatch):
    right = run(qat_operands(inputs(), **OPERANDS))
    monkeypatch.setattr(module, "quantise_activations", lambda *_: None)
    wrong = run(qat_operands(inputs(), **OPERANDS))
    assert all(not torch.equal(right[name], wrong[name]) for name in right if name.startswith("first/activation/"))


def test_what_is_given_has_no_more_digits_than_bfloat16():
    model = tiny()
    where = module.places(model, module.formats(model))
    for given in module.exact_activations(model, where, batches(None, 2, 16, 1)[0]):
        assert torch.equal(given, given.bfloat16().float())
