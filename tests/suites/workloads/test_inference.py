"""Prefill and greedy decoding, with a tiny model in place of the real one."""

import pytest
import torch

from suites.workloads import inference as module
from suites.workloads.inference import CASES, greedy, prefill
from tests.suites.workloads.tiny_model import VOCABULARY, batches, inputs, load_tiny, run, tiny, use_tiny

PREFILL = {"model": "default", "batch": 2, "length": 16}
GREEDY = {"model": "default", "prompt": 8, "new_tokens": 12}
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


@pytest.mark.parametrize("cache", [True, False])
def test_greedy_is_what_generate_gives(cache):
    expected = tiny().generate(
        batches(None, 1, 8, 1)[0], max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0,
        attention_mask=torch.ones(1, 8, dtype=torch.int64),
    )[0, 8:]  # fmt: skip
    outputs = run(greedy(inputs(), **GREEDY, cache=cache))
    assert outputs["tokens"].tolist() == expected.tolist()
    assert outputs["tokens"].dtype is torch.int64


def test_cache_and_whole_prefix_agree():
    cached, whole = (run(greedy(inputs(), **GREEDY, cache=cache)) for cache in (True, False))
    assert torch.equal(cached["tokens"], whole["tokens"])
    torch.testing.assert_close(cached["logits"], whole["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cache", [True, False])
def test_logits_are_those_that_the_tokens_were_chosen_by(cache):
    outputs = run(greedy(inputs(), **GREEDY, cache=cache))
    assert outputs["logits"].shape == (12, VOCABULARY)
    assert torch.equal(outputs["logits"].argmax(-1), outputs["tokens"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cache", [True, False])
def test_a_call_may_be_repeated(dtype, cache):
    step = greedy(inputs(dtype), **GREEDY, cache=cache)
    first, second = step.call(), step.call()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_end_of_text_token_does_not_end_it(monkeypatch):
    chosen = run(greedy(inputs(), **GREEDY, cache=True))["tokens"].tolist()
    loaded = load_tiny()
    loaded.tokenizer.eos_token = f"w{chosen[3]}"
    loaded.module.generation_config.eos_token_id = chosen[3]
    monkeypatch.setattr(module, "load", lambda _: loaded)
    assert run(greedy(inputs(), **GREEDY, cache=True))["tokens"].tolist() == chosen


def test_greedy_golden_is_float64():
    outputs = run(greedy(inputs(torch.bfloat16, golden=True), **GREEDY, cache=True))
    assert outputs["logits"].dtype is torch.float64


def test_details_tell_the_texts_and_the_model():
    step = greedy(inputs(), **GREEDY, cache=True)
    tokens = step.call()["tokens"].tolist()
    assert step.details() == {
        "prompt": " ".join(f"w{i}" for i in batches(None, 1, 8, 1).flatten().tolist()),
        "text": " ".join(f"w{i}" for i in tokens), "model": "tiny", "source": "drawn",
    }  # fmt: skip


def test_cases_do_real_work():
    assert {case.area for case in CASES} == {"inference"}
    assert all(case.golden and "model" in case.params for case in CASES)
