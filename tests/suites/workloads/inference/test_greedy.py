"""Greedy decoding, with a tiny model in place of the real one."""

import pytest
import torch

from suites.workloads.inference import greedy as module
from suites.workloads.inference.greedy import CASES, greedy
from tests.suites.workloads.tiny_model import VOCABULARY, batches, inputs, load_tiny, run, tiny, use_tiny

GREEDY = {"model": "default", "prompt": 8, "new_tokens": 12}
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    use_tiny(monkeypatch, module)


@pytest.mark.parametrize("cache", ["dynamic", "static", "none"])
def test_greedy_is_what_generate_gives(cache):
    expected = tiny().generate(
        batches(None, 1, 8, 1)[0], max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0,
        attention_mask=torch.ones(1, 8, dtype=torch.int64),
    )[0, 8:]  # fmt: skip
    outputs = run(greedy(inputs(), **GREEDY, cache=cache))
    assert outputs["tokens"].tolist() == expected.tolist()
    assert outputs["tokens"].dtype is torch.int64


def test_cache_and_whole_prefix_agree():
    cached, whole = (run(greedy(inputs(), **GREEDY, cache=cache)) for cache in ("dynamic", "none"))
    assert torch.equal(cached["tokens"], whole["tokens"])
    torch.testing.assert_close(cached["logits"], whole["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cache", ["dynamic", "static", "none"])
def test_logits_are_those_that_the_tokens_were_chosen_by(cache):
    outputs = run(greedy(inputs(), **GREEDY, cache=cache))
    assert outputs["logits"].shape == (12, VOCABULARY)
    assert torch.equal(outputs["logits"].argmax(-1), outputs["tokens"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cache", ["dynamic", "static", "none"])
def test_a_call_may_be_repeated(dtype, cache):
    step = greedy(inputs(dtype), **GREEDY, cache=cache)
    first, second = step.call(), step.call()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_end_of_text_token_does_not_end_it(monkeypatch):
    chosen = run(greedy(inputs(), **GREEDY, cache="dynamic"))["tokens"].tolist()
    loaded = load_tiny()
    loaded.tokenizer.eos_token = f"w{chosen[3]}"
    loaded.module.generation_config.eos_token_id = chosen[3]
    monkeypatch.setattr(module, "load", lambda _: loaded)
    assert run(greedy(inputs(), **GREEDY, cache="dynamic"))["tokens"].tolist() == chosen


def test_greedy_golden_is_float64():
    outputs = run(greedy(inputs(torch.bfloat16, golden=True), **GREEDY, cache="dynamic"))
    assert outputs["logits"].dtype is torch.float64


def test_details_tell_the_texts_and_the_model():
    step = greedy(inputs(), **GREEDY, cache="dynamic")
    tokens = step.call()["tokens"].tolist()
    told = dict(step.details())
    assert told.pop("costs")["flops"]["needed"] > 0
    assert told == {
        "prompt": " ".join(f"w{i}" for i in batches(None, 1, 8, 1).flatten().tolist()),
        "text": " ".join(f"w{i}" for i in tokens), "model": "tiny", "source": "drawn",
    }  # fmt: skip


def test_cases_do_real_work():
    assert {case.area for case in CASES} == {"inference"}
    assert all(case.golden and "model" in case.params for case in CASES)
