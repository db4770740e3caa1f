"""Prefill, with a tiny model in place of the real one."""

import pytest
import torch

from suites.workloads.inference import prefill as module
from suites.workloads.inference.prefill import CASES, prefill
from tests.suites.workloads.tiny_model import VOCABULARY, batches, inputs, run, tiny, use_tiny

PREFILL = {"model": "default", "batch": 2, "length": 16}
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    use_tiny(monkeypatch, module)


def test_prefill_gives_the_logits_of_every_position_but_the_first():
    with torch.no_grad():
        expected = tiny()(input_ids=batches(None, 2, 16, 1)[0]).logits[:, 1:].reshape(30, VOCABULARY)
    step = prefill(inputs(), **PREFILL)
    torch.testing.assert_close(run(step)["logits"], expected, rtol=1e-5, atol=1e-6)
    assert (step.work, step.unit) == (32, "tokens")


def test_prefill_of_the_last_position_alone():
    whole = run(prefill(inputs(), **PREFILL))["logits"].reshape(2, 15, VOCABULARY)
    last = run(prefill(inputs(), **PREFILL, last_only=True))["logits"]
    torch.testing.assert_close(last, whole[:, -1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_prefill_golden_is_float64_of_the_same_rounded_weights(dtype):
    device, golden = inputs(dtype), inputs(dtype, golden=True)
    ours, exact = run(prefill(device, **PREFILL))["logits"], run(prefill(golden, **PREFILL))["logits"]
    assert device.digests == golden.digests
    assert (ours.dtype, exact.dtype) == (torch.float32, torch.float64)
    error = (ours - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    unit = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}[dtype]
    assert 0.1 * unit < error < 10 * unit


def test_logprobs_are_those_of_the_tokens_that_follow():
    outputs = run(prefill(inputs(), **PREFILL))
    logits, tokens = outputs["logits"].reshape(2, 15, VOCABULARY), batches(None, 2, 16, 1)[0]
    expected = -torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 2:].flatten(), reduction="none")
    torch.testing.assert_close(outputs["logprobs"], expected)


def test_cases_do_real_work():
    assert {case.area for case in CASES} == {"inference"}
    assert all(case.golden and "model" in case.params for case in CASES)
