"""The accuracy workload, through the real lm-eval, on a model of one layer."""

import json
import math

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.errors import AssayError
from harness.inputs import Inputs
from harness.isolate import find_case
from suites.assets import asked_tasks
from suites.assets.domains import DOMAINS
from suites.assets.language_model import LanguageModel
from suites.assets.language_model import load as real_load
from suites.assets.tasks import documents, names
from suites.workloads import accuracy as module
from suites.workloads.accuracy import CASES, accuracy

CHARACTERS = "|" + "".join(map(chr, range(32, 127))) + "\n"


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Put a random model over characters in the place of the pretrained one."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(CHARACTERS), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=256, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    inner = Tokenizer(models.WordLevel({c: i for i, c in enumerate(dict.fromkeys(CHARACTERS))}, unk_token="|"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="|", bos_token="|", pad_token="|")
    model = LanguageModel(LlamaForCausalLM(config).eval(), tokenizer, "tiny", "here")
    monkeypatch.setattr(module, "load", lambda _: model)
    return model


def inputs(dtype=torch.float32):
    return Inputs(0, dtype, lambda tensor: tensor, torch.device("cpu"))


def likelihood(model, prompt, text, prefix=()):
    """Return the log-likelihood of `text` after a prompt, the plain way."""
    start, ids = len(prefix) + len(model.tokenizer(prompt).input_ids), [*prefix, *model.tokenizer(prompt + text).input_ids]
    with torch.no_grad():
        scores = model.module(torch.tensor([ids])).logits.log_softmax(-1)
    return float(sum(scores[0, i - 1, ids[i]] for i in range(start, len(ids))))


def test_choices_are_scored_sample_by_sample(tiny):
    given = inputs()
    step = accuracy(given, task="grammar", samples=6, model="default", batch=4)
    outputs, details = step.call(), step.details()
    chosen = documents("grammar", 6)
    values = [[likelihood(tiny, d["prompt"], f" {choice}") for choice in d["choices"]] for d in chosen]
    assert outputs["loglikelihood"].dtype == torch.float64
    assert outputs["loglikelihood"].tolist() == pytest.approx([v for pair in values for v in pair], abs=1e-4)
    right = [int(pair.index(max(pair)) == d["answer"]) for pair, d in zip(values, chosen, strict=True)]
    assert outputs["correct"].tolist() == right
    assert [(s["target"], s["correct"]) for s in details["samples"]] == [(d["answer"], r) for d, r in zip(chosen, right, strict=True)]
    assert (details["task"], details["metric"], details["accuracy"], step.work) == ("grammar", "acc", sum(right) / 6, 6)
    assert details["chance"] == 0.5
    assert set(given.digests) == {"documents", "tokenizer", "weights"}


def test_two_runs_are_the_same():
    one, other = (accuracy(inputs(), task="grammar", samples=4, model="default", batch=2) for _ in range(2))
    assert torch.equal(one.call()["loglikelihood"], other.call()["loglikelihood"])
    assert one.details() == other.details()
    for kept in ("prompt_hash", "answer_hash"):
        assert len({sample[kept] for sample in one.details()["samples"]}) == 4


def test_free_text_is_judged_by_its_answer(monkeypatch):
    chosen = [{**d, "target": "" if i else "never this"} for i, d in enumerate(documents("arithmetic", 2))]
    monkeypatch.setattr(asked_tasks, "documents", lambda *_: chosen)
    step = accuracy(inputs(), task="arithmetic", samples=2, model="default", batch=2)
    outputs, details = step.call(), step.details()
    assert set(outputs) == {"correct"}
    assert [s["answer"] == s["target"] for s in details["samples"]] == outputs["correct"].bool().tolist()
    assert outputs["correct"][0] == 0
    assert details["chance"] == 0.0


@pytest.mark.parametrize(("prompt", "prefix"), [("Say it", ()), ("", (0,))])
def test_a_text_is_scored_by_its_bits_per_byte(tiny, tmp_path, prompt, prefix):
    texts = ["one and two", "three", "four plus five"]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"prompt": prompt, "text": text}) + "\n" for text in texts))
    step = accuracy(inputs(), task=str(file), samples=10, model="default", batch=2)
    outputs, details = step.call(), step.details()
    values = [likelihood(tiny, prompt, f" {text}" if prompt else text, prefix) for text in texts]
    assert outputs["loglikelihood"].tolist() == pytest.approx(values, abs=1e-4)
    expected = [-value / len(text) / math.log(2) for value, text in zip(values, texts, strict=True)]
    assert outputs["score"].tolist() == pytest.approx(expected, abs=1e-4)
    assert (details["task"], details["metric"], details["chance"], step.work) == ("texts", "bits_per_byte", None, 3)


def test_a_model_that_left_padding_changes_answers_one_at_a_time(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "load", real_load)
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"prompt": prompt, "target": "x"}) + "\n" for prompt in ("aaaaa", "Once upon a time " * 4)))
    answers = []
    for batch in (1, 16):
        step = accuracy(inputs(), task=str(file), samples=2, model="tiny:deepseek_v4-flash", batch=batch)
        step.call()
        assert step.details()["batch"] == 1
        answers.append([sample["answer"] for sample in step.details()["samples"]])
    assert answers[0] == answers[1]


def test_a_model_that_is_elsewhere_is_refused(tiny):
    with pytest.raises(AssayError, match="the model is on cpu, not on meta"):
        module.assert_placed(tiny.module, torch.device("meta"))


def test_bfloat16_weights_get_a_float32_softmax():
    values = accuracy(inputs(torch.bfloat16), task="grammar", samples=4, model="default", batch=4).call()["loglikelihood"]
    assert not torch.equal(values, values.bfloat16().double())


def test_cases_name_tasks_that_exist():
    assert len({case.id for case in CASES}) == len(CASES)
    assert {case.params["task"] for case in CASES} <= set(names())
    assert {task for domain in DOMAINS.values() for task in domain.comes} <= set(names())
    assert {check.family for case in CASES for check in case.checks} == {len(CASES)}


def test_a_worker_finds_a_case_that_was_asked_for():
    found = find_case(module.__name__, "accuracy/asked/mine[bfloat16]", {"task": "/a/mine.jsonl", "samples": 7})
    assert (found.id, found.dtype, found.params["task"], found.params["samples"]) == (
        "accuracy/asked/mine[bfloat16]", "bfloat16", "/a/mine.jsonl", 7,
    )  # fmt: skip
    with pytest.raises(AssayError, match="has no case"):
        find_case(module.__name__, "accuracy/none[float32]", {})
