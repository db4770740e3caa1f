"""Kahneman-Tversky optimization of a tiny model."""

import numpy as np
import pytest
import torch

from suites.assets.families import FAMILIES, byte_tokenizer, tiny_module
from suites.workloads.float64 import Float64
from suites.workloads.post_training import kto as module
from suites.workloads.post_training.completions import logprobs, with_reference
from suites.workloads.post_training.kto import CASES, _mismatched, _rows, divergence_of, first_logprobs, kto, kto_loss
from tests.suites.workloads.post_training.text import use_text
from tests.suites.workloads.post_training.trl_model import trl_model, trl_trainer
from tests.suites.workloads.tiny_model import inputs, run

PARAMS = {"model": "tiny:llama", "batch": 4, "length": 32, "steps": 4, "epochs": 2, "learning_rate": 1e-3, "beta": 0.1}


@pytest.fixture(autouse=True)
def text(monkeypatch):
    use_text(monkeypatch)


def trained_elsewhere(shift=0.0):
    """A model, and a batch whose reference is another one; `shift` (nats) goes to the mismatched rows' reference."""
    model = tiny_module("tiny:llama").double()
    matched, mismatched = _rows(byte_tokenizer(), 5, 32, 1)
    (batch,), (other,) = (with_reference(inputs(golden=True), model, rows) for rows in (matched, mismatched))
    other["reference"][:, -1] += shift
    with torch.no_grad():
        for n, parameter in enumerate(model.parameters()):
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(n))
    return model, {**batch, **{f"mismatched_{key}": tensor for key, tensor in other.items()}}


@pytest.mark.parametrize("shift", [-20.0, 20.0])
def test_loss_is_the_formula_written_out(shift):
    model, batch = trained_elsewhere(shift)
    with Float64():
        found = kto_loss(0.3, 1.5, 0.75)(model, batch)
        ratio = (logprobs(model, batch) - batch["reference"].sum(-1)).detach().numpy()
        others = _mismatched(batch)
        z = max(0.0, (logprobs(model, others) - others["reference"].sum(-1)).mean().item())
    assert (z > 0) == (shift < 0)
    value = np.where(batch["desirable"], 1.5 / (1 + np.exp(-0.3 * (ratio - z))), 0.75 / (1 + np.exp(-0.3 * (z - ratio))))
    weight = np.where(batch["desirable"], 1.5, 0.75)
    assert found["loss"].item() == pytest.approx(np.mean(weight - value), rel=1e-9)
    assert found["reference_point"].item() == pytest.approx(z, rel=1e-9)
    for good, name in ((True, "desirable_reward"), (False, "undesirable_reward")):
        assert found[name].item() == pytest.approx(0.3 * ratio[batch["desirable"].numpy() == good].mean(), rel=1e-9)


def test_no_gradient_flows_through_the_reference_point(monkeypatch):
    model, batch = trained_elsewhere(-20.0)
    weights = list(model.parameters())
    point = divergence_of(model, batch)
    assert point > 1
    assert not point.requires_grad
    gradients = torch.autograd.grad(kto_loss(0.3, 1.0, 1.0)(model, batch)["loss"], weights)
    monkeypatch.setattr(module, "divergence_of", lambda *_: torch.tensor(point.item(), dtype=torch.float64))  # a mere number
    for ours, theirs in zip(gradients, torch.autograd.grad(kto_loss(0.3, 1.0, 1.0)(model, batch)["loss"], weights), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_rows_are_by_turns_desirable_and_mismatched_with_the_row_after():
    (batch,), (other,) = _rows(byte_tokenizer(), 4, 32, 1)
    assert batch["desirable"].tolist() == [True, False, True, False]

    def parts(rows, i):
        done, kept = rows["completion_mask"][i], rows["attention_mask"][i].bool()
        return rows["tokens"][i][kept & ~done].tolist(), rows["tokens"][i][done].tolist()

    for i in range(4):
        prompt, completion = parts(other, i)
        after = parts(batch, (i + 1) % 4)[1]
        assert prompt == parts(batch, i)[0]
        assert completion == after[: 32 - len(prompt)]
        assert completion != parts(batch, i)[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_first_loss_is_half_of_the_mean_weight(family):
    found = run(kto(inputs(), **{**PARAMS, "model": f"tiny:{family}"}, undesirable_weight=2.0, sketches=False))
    assert found["loss"].item() == pytest.approx(0.75, abs=1e-5)
    assert found["divergence"].abs().item() < 1e-4
    assert found["grad_norm"].item() > 0.1


def test_learns_what_is_desirable():
    found = run(kto(inputs(), **{**PARAMS, "steps": 1, "epochs": 1}, sketches=False), 12)
    assert found["loss"][-1] < 0.4 * found["loss"][0]
    assert found["desirable_reward"][-1] > 0.5
    assert found["undesirable_reward"][-1] < -0.5
    assert torch.equal(found["reference_point"], found["divergence"].clamp(min=0))


def test_what_is_followed_and_compared():
    outputs = run(kto(inputs(), **PARAMS, detailed=True), 2)
    assert outputs["first/logprobs"].shape == outputs["first/mismatched_logprobs"].shape == (4, 31)
    assert outputs["held_out_loss"].shape == (2,)


def test_golden_is_float64_and_close():
    device, golden = inputs(), inputs(golden=True)
    ours, exact = run(kto(device, **PARAMS), 3), run(kto(golden, **PARAMS), 3)
    assert device.digests == golden.digests
    assert {tensor.dtype for tensor in exact.values()} == {torch.float64}
    torch.testing.assert_close(ours["loss"].double(), exact["loss"], rtol=1e-5, atol=0)


def test_first_logprobs_are_of_both_kinds_of_rows():
    model, batch = trained_elsewhere()
    found = first_logprobs(model, batch)
    torch.testing.assert_close(found["logprobs"].sum(-1), logprobs(model, batch))
    assert not torch.equal(found["logprobs"], found["mismatched_logprobs"])


@pytest.mark.parametrize("shift", [-20.0, 20.0])
def test_trl_has_the_same_loss(shift):
    pytest.importorskip("trl")
    from trl import KTOTrainer

    model, batch = trained_elsewhere(shift)
    given = {"input_ids": batch["tokens"], "attention_mask": batch["attention_mask"], "completion_mask": batch["completion_mask"].long()}
    given |= {
        f"KL_{key}": batch[f"mismatched_{name}"] for key, name in zip(given, ("tokens", "attention_mask", "completion_mask"), strict=True)
    }
    given |= {"label": batch["desirable"], "ref_logps": batch["reference"].sum(-1), "ref_KL_logps": batch["mismatched_reference"].sum(-1)}
    trainer = trl_trainer(beta=0.3, calculate_KL=True, loss_type="kto", desirable_weight=1.5, undesirable_weight=0.75)
    trainer._compute_kl_logps = lambda *asked: KTOTrainer._compute_kl_logps(trainer, *asked)
    theirs = KTOTrainer._compute_loss(trainer, trl_model(model), given, return_outputs=False)
    ours = kto_loss(0.3, 1.5, 0.75)(model, batch)
    assert theirs.item() == pytest.approx(ours["loss"].item(), rel=1e-5)
    assert trainer._metrics["train"]["kl"] == [pytest.approx(ours["reference_point"].item(), rel=1e-5)]


def test_cases_cover_the_families():
    assert {case.id.partition("[")[0] for case in CASES} == {f"post_training/kto/{family}" for family in FAMILIES}
