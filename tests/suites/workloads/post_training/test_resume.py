"""Checkpoints and resumed runs, on a tiny model; each kind of loss that a checkpoint can suffer is noticed."""

import pytest
import torch

from harness.checks.evidence import Evidence
from harness.errors import AssayError
from harness.verdict import Outcome
from suites.workloads.post_training import checkpoint
from suites.workloads.post_training import resume as module
from suites.workloads.post_training.checkpoint import restore, save
from suites.workloads.post_training.optimizers import OPTIMIZERS
from suites.workloads.post_training.resume import CASES, CHECKS, resume
from tests.harness.checks.build import case, recording
from tests.suites.workloads.tiny_model import inputs, run, tiny, use_tiny

PARAMS = {"model": "default", "batch": 2, "length": 16, "steps": 4, "learning_rate": 1e-2}


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    use_tiny(monkeypatch, module)


def findings(optimizer="adamw"):
    step = resume(inputs(), **PARAMS, optimizer=optimizer)
    made = recording({name: tensor.numpy() for name, tensor in run(step, 4).items()}, series=step.series)
    return [finding for check in CHECKS for finding in check(Evidence(case(), made, made))]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_has_the_same_bits(optimizer):
    assert {finding.outcome for finding in findings(optimizer)} == {Outcome.PASS}


def trained(optimizer="adamw", steps=2):
    model = tiny()
    stepping = OPTIMIZERS[optimizer](dict(model.named_parameters()), 1e-2)
    for _ in range(steps):
        model(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
        stepping.step()
    return model, stepping


def forgetting(monkeypatch, *lost):
    """Let checkpoints be written without the tensors whose names hold one of `lost`, and read back as zeros."""
    read = checkpoint._read

    def partly(path):
        told, tensors = read(path)
        return told, {n: torch.zeros_like(t) if any(part in n for part in lost) else t for n, t in tensors.items()}

    monkeypatch.setattr(checkpoint, "_read", partly)


@pytest.mark.parametrize("lost", ["exp_avg_sq", "/step", "q_proj"])
def test_what_a_checkpoint_loses_is_noticed(monkeypatch, lost):
    forgetting(monkeypatch, lost)
    failed = [finding.subject for finding in findings() if finding.outcome is Outcome.FAIL]
    assert any(subject.startswith("loaded/") for subject in failed)
    assert "resumed/loss" in failed


def test_an_optimizer_that_starts_anew_is_noticed(monkeypatch):
    real = module.restore

    def weights_alone(path, model, optimizer):
        state = optimizer.state_dict()
        step = real(path, model, optimizer)
        optimizer.load_state_dict(state)
        return step

    monkeypatch.setattr(module, "restore", weights_alone)
    failed = {finding.subject for finding in findings() if finding.outcome is Outcome.FAIL}
    assert "loaded/*" in failed
    assert "resumed/loss" in failed


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_round_trip_brings_back_every_tensor(tmp_path, optimizer):
    model, stepping = trained(optimizer)
    save(tmp_path / "c.safetensors", model, stepping, 7)
    other = tiny()
    fresh = OPTIMIZERS[optimizer](dict(other.named_parameters()), 0.5)
    assert restore(tmp_path / "c.safetensors", other, fresh) == 7
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert stepping.state[ours].keys() == fresh.state[theirs].keys()
        assert all(torch.equal(value, fresh.state[theirs][key]) for key, value in stepping.state[ours].items())
    assert [group["lr"] for group in fresh.param_groups] == [group["lr"] for group in stepping.param_groups]


def test_another_model_or_a_broken_file_is_refused(tmp_path):
    model, stepping = trained()
    path = tmp_path / "c.safetensors"
    save(path, model, stepping, 1)
    other = tiny(attention_bias=True)
    with pytest.raises(AssayError, match="another model"):
        restore(path, other, OPTIMIZERS["adamw"](dict(other.named_parameters()), 0.1))
    with pytest.raises(AssayError, match="another optimizer"):
        restore(path, model, OPTIMIZERS["muon"](dict(model.named_parameters()), 0.1))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AssayError, match="cannot be read"):
        restore(path, model, stepping)


def test_no_case_needs_a_golden():
    assert not any(case.golden for case in CASES)
