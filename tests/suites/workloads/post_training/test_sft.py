"""Full fine-tuning, with a tiny model in place of the real one."""

from dataclasses import replace

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from harness.checks.evidence import Evidence
from harness.checks.parameters import Parameters
from harness.errors import AssayError
from harness.sketch import sketch
from harness.verdict import Outcome
from suites.assets.language_model import LanguageModel
from suites.workloads.post_training import sft as module
from suites.workloads.post_training.sft import CASES, CHECKS, sft
from tests.harness.checks.build import case, recording
from tests.suites.workloads.tiny_model import batches, inputs, load_tiny, run, tiny, use_tiny

PARAMS = {"model": "default", "batch": 2, "length": 16, "steps": 3, "learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    use_tiny(monkeypatch, module)


def bare_loop():
    """The same training, written out."""
    model = tiny().train()
    initial = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    losses, norms = [], []
    for tokens in batches(None, 2, 16, 3):
        optimizer.zero_grad()
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        norms.append(clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
        losses.append(loss.detach())
    updates = {name: p.detach().double() - initial[name].double() for name, p in model.named_parameters()}
    return torch.stack(losses), torch.stack(norms), updates


def test_same_as_the_loop_written_out():
    outputs = run(sft(inputs(), **PARAMS), 3)
    losses, norms, updates = bare_loop()
    torch.testing.assert_close(outputs["loss"], losses, rtol=1e-6, atol=0)
    torch.testing.assert_close(outputs["grad_norm"], norms, rtol=1e-5, atol=0)
    for name, update in updates.items():
        expected = sketch(update, name)
        error = torch.linalg.vector_norm(outputs[f"update/{name}"] - expected) / torch.linalg.vector_norm(expected)
        assert error < 1e-3, name


def test_gradients_are_those_of_the_first_batch_before_training():
    outputs = run(sft(inputs(), **PARAMS), 3)
    model = tiny()
    model(input_ids=batches(None, 2, 16, 1)[0], labels=batches(None, 2, 16, 1)[0]).loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(outputs[f"grad/{name}"], sketch(parameter.grad, name), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_twice_gives_the_same_bits(dtype):
    first, second = (run(sft(inputs(dtype), **PARAMS), 3) for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_parameter_has_its_gradient_and_update():
    names = {name for name, _ in tiny().named_parameters()}
    outputs = run(sft(inputs(), **PARAMS), 1)
    assert set(outputs) == {"loss", "grad_norm"} | {f"{kind}/{name}" for kind in ("grad", "update") for name in names}


def test_golden_is_float64_and_close():
    golden, device = run(sft(inputs(golden=True), **PARAMS), 3), run(sft(inputs(), **PARAMS), 3)
    assert {t.dtype for t in golden.values()} == {torch.float64}
    assert device["loss"].dtype is torch.float32
    torch.testing.assert_close(device["loss"].double(), golden["loss"], rtol=2e-6, atol=0)


def test_bfloat16_has_the_inputs_of_float32_and_other_losses():
    full, mixed = inputs(), inputs(torch.bfloat16)
    a, b = run(sft(full, **PARAMS), 2), run(sft(mixed, **PARAMS), 2)
    assert full.digests == mixed.digests
    assert 1e-6 < (a["loss"] / b["loss"] - 1).abs().max() < 0.02
    assert b["loss"].dtype is torch.float32


def test_bfloat16_keeps_small_updates():
    """A weight of 0.1 in bfloat16 would swallow an update of 1e-5."""
    outputs = run(sft(inputs(torch.bfloat16), **{**PARAMS, "learning_rate": 1e-5}), 3)
    update = outputs["update/model.norm.weight"]
    assert 5e-6 < update.abs().max() < 5e-5


def evidence(candidate, reference, golden):
    sides = [recording({name: t.numpy() for name, t in side.items()}) for side in (candidate, reference, golden)]
    return Evidence(replace(case(), id="x"), *sides)


def test_a_gradient_that_is_slightly_wrong_in_one_layer_is_found():
    """1 % in one of the 21 parameters leaves the loss of this step as it was."""
    golden, reference = run(sft(inputs(golden=True), **PARAMS)), run(sft(inputs(), **PARAMS))
    name = "grad/model.layers.0.mlp.up_proj.weight"
    wrong = {**reference, name: reference[name] * 1.01}
    (finding,) = (f for f in Parameters("grad/")(evidence(wrong, reference, golden)) if f.subject.endswith("worst"))
    assert finding.outcome is Outcome.FAIL
    assert finding.where == name.removeprefix("grad/")


def test_a_sound_run_passes_all_checks():
    golden, reference = run(sft(inputs(golden=True), **PARAMS), 3), run(sft(inputs(), **PARAMS), 3)
    assert {f.outcome for check in CHECKS for f in check(evidence(reference, reference, golden))} == {Outcome.PASS}


def test_dropout_is_refused(monkeypatch):
    loaded = load_tiny()
    dropping = LanguageModel(tiny(attention_dropout=0.2), loaded.tokenizer, "dropping", "drawn")
    monkeypatch.setattr(module, "load", lambda _: dropping)
    with pytest.raises(AssayError, match="dropping: attention_dropout"):
        sft(inputs(), **PARAMS)


def test_the_golden_of_bfloat16_is_that_of_the_same_training():
    float32, bfloat16 = CASES[:2]
    assert bfloat16.golden_of == float32.id
    assert bfloat16.params == float32.params
    assert float32.rounds == float32.params["steps"] >= 10
