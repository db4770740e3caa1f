"""Direct preference optimization of a tiny model."""

import math

import numpy as np
import pytest
import torch

from suites.assets.families import FAMILIES, byte_tokenizer, tiny_module
from suites.workloads.float64 import Float64
from suites.workloads.post_training.completions import logprobs, pair_batches, with_reference
from suites.workloads.post_training.dpo import CASES, both_logprobs, dpo, dpo_loss
from tests.suites.workloads.post_training.text import use_text
from tests.suites.workloads.post_training.trl_model import trl_model, trl_trainer
from tests.suites.workloads.tiny_model import inputs, run

PARAMS = {"model": "tiny:llama", "pairs": 2, "length": 32, "steps": 4, "epochs": 2, "learning_rate": 1e-3, "beta": 0.1}


@pytest.fixture(autouse=True)
def text(monkeypatch):
    use_text(monkeypatch)


def trained_elsewhere(pairs=3):
    """A model and a batch whose reference is another model, so that no reward is zero."""
    model = tiny_module("tiny:llama").double()
    (batch,) = with_reference(inputs(golden=True), model, pair_batches(byte_tokenizer(), pairs, 32, 1))
    with torch.no_grad():
        for n, parameter in enumerate(model.parameters()):
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(n))
    return model, batch


def test_loss_is_the_formula_written_out():
    model, batch = trained_elsewhere()
    with Float64():
        found = dpo_loss(0.3)(model, batch)
        policy, reference = logprobs(model, batch).detach().numpy(), batch["reference"].sum(-1).numpy()
    ratio = policy[:3] - reference[:3] - (policy[3:] - reference[3:])
    assert np.abs(ratio).min() > 0.01
    assert found["loss"].item() == pytest.approx(np.mean(-np.log(1 / (1 + np.exp(-0.3 * ratio)))), rel=1e-9)
    assert found["chosen_reward"].item() == pytest.approx(0.3 * np.mean(policy[:3] - reference[:3]), rel=1e-9)
    assert found["accuracy"].item() == pytest.approx(np.mean(ratio > 0))


def test_gradient_is_the_papers_and_the_reference_has_none():
    """Page 5 of the paper: -beta sigmoid(-margin) (grad log p(chosen) - grad log p(rejected)), the mean over pairs."""
    model, batch = trained_elsewhere()
    weights = list(model.parameters())
    found = dpo_loss(0.3)(model, batch)
    gradients = torch.autograd.grad(found["loss"], weights)
    chosen, rejected = logprobs(model, batch).chunk(2)
    weight = 0.3 * torch.sigmoid(-found["margins"].detach()) / 3
    expected = torch.autograd.grad(-(weight * (chosen - rejected)).sum(), weights)
    assert not batch["reference"].requires_grad
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_first_loss_is_ln_2(family):
    found = run(dpo(inputs(), **{**PARAMS, "model": f"tiny:{family}"}, sketches=False))
    assert found["loss"].item() == pytest.approx(math.log(2), abs=1e-6)
    assert found["margin"].abs().item() < 1e-5
    assert found["grad_norm"].item() > 0.1  # nothing is decided, and yet there is all to learn


def test_learns_its_preferences():
    step = dpo(inputs(), **{**PARAMS, "steps": 1, "epochs": 1}, sketches=False)
    found = run(step, 12)
    assert found["loss"][-1] < 0.3 * found["loss"][0]
    assert found["accuracy"][-1] == 1
    assert found["chosen_reward"][-1] > 0 > found["rejected_reward"][-1]


def test_a_stronger_tie_moves_the_model_less():
    moved = [run(dpo(inputs(), **{**PARAMS, "beta": beta}, sketches=False), 4)["margin"][-1] / beta for beta in (0.1, 1.0)]
    assert moved[1] < moved[0]


def test_what_is_followed_and_compared():
    outputs = run(dpo(inputs(), **PARAMS, detailed=True), 3)
    assert outputs["margins"].shape == (3, 2)
    assert outputs["first/chosen_logprobs"].shape == outputs["first/rejected_logprobs"].shape == (2, 31)
    assert (outputs["first/chosen_logprobs"] <= 0).all()
    assert outputs["held_out_loss"][0].item() == pytest.approx(math.log(2), abs=1e-6)
    assert outputs["held_out_loss"][1] != outputs["held_out_loss"][0]


def test_first_logprobs_are_both_completions():
    model, batch = trained_elsewhere()
    found = both_logprobs(model, batch)
    both = torch.cat([found["chosen_logprobs"], found["rejected_logprobs"]])
    torch.testing.assert_close(both.sum(-1), logprobs(model, batch))


def test_batches_repeat_once_an_epoch():
    step = dpo(inputs(), **{**PARAMS, "learning_rate": 0.0}, sketches=False)
    norms = run(step, 4)["grad_norm"]
    assert torch.equal(norms[:2], norms[2:])
    assert norms[0] != norms[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_twice_gives_the_same_bits(dtype):
    first, second = (run(dpo(inputs(dtype), **PARAMS), 3) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_golden_is_float64_and_close():
    device, golden = inputs(), inputs(golden=True)
    ours, exact = run(dpo(device, **PARAMS), 3), run(dpo(golden, **PARAMS), 3)
    assert device.digests == golden.digests
    assert {tensor.dtype for tensor in exact.values()} == {torch.float64}
    torch.testing.assert_close(ours["loss"].double(), exact["loss"], rtol=1e-5, atol=0)


def test_trl_has_the_same_loss():
    pytest.importorskip("trl")
    from trl import DPOTrainer

    model, batch = trained_elsewhere()
    chosen, rejected = batch["reference"].sum(-1).chunk(2)
    given = {"input_ids": batch["tokens"], "attention_mask": batch["attention_mask"], "completion_mask": batch["completion_mask"].long()}
    settings = {
        "ld_alpha": None,
        "f_divergence_type": "reverse_kl",
        "loss_types": ["sigmoid"],
        "loss_weights": [1.0],
        "use_weighting": False,
    }
    trainer = trl_trainer(beta=0.3, **settings)
    theirs = DPOTrainer._compute_loss(
        trainer, trl_model(model), {**given, "ref_chosen_logps": chosen, "ref_rejected_logps": rejected}, return_outputs=False
    )
    ours = dpo_loss(0.3)(model, batch)
    assert theirs.item() == pytest.approx(ours["loss"].item(), rel=1e-5)
    told = trainer._metrics["train"]
    for name, metric in (("margin", "margins"), ("chosen_reward", "chosen"), ("rejected_reward", "rejected"), ("accuracy", "accuracies")):
        assert told[f"rewards/{metric}"] == [pytest.approx(ours[name].item(), rel=1e-5)], name


def test_cases_cover_the_families_and_the_real_model():
    assert {case.id.partition("[")[0] for case in CASES} == {"post_training/dpo", *(f"post_training/dpo/{family}" for family in FAMILIES)}
    assert all(case.rounds == case.params["steps"] for case in CASES)
