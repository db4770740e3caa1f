"""The accuracy workload, through the real lm-eval, on a model of one layer."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.errors import AssayError
from harness.inputs import Inputs
from suites.assets.language_model import LanguageModel
from suites.assets.tasks import documents
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


def expected(model, prompt, choice):
    """Return the log-likelihood of " " + choice after the prompt, the plain way."""
    start, ids = len(model.tokenizer(prompt).input_ids), torch.tensor([model.tokenizer(f"{prompt} {choice}").input_ids])
    with torch.no_grad():
        scores = model.module(ids).logits.log_softmax(-1)
    return float(sum(scores[0, i - 1, ids[0, i]] for i in range(start, ids.shape[1])))


def test_choices_are_scored_sample_by_sample(tiny):
    given = inputs()
    step = accuracy(given, task="grammar", samples=6, model="default", batch=4)
    outputs, details = step.call(), step.details()
    chosen = documents("grammar", 6)
    values = [[expected(tiny, d["prompt"], choice) for choice in d["choices"]] for d in chosen]
    assert outputs["loglikelihood"].dtype == torch.float64
    assert outputs["loglikelihood"].tolist() == pytest.approx([v for pair in values for v in pair], abs=1e-4)
    right = [int(pair.index(max(pair)) == d["answer"]) for pair, d in zip(values, chosen, strict=True)]
    assert outputs["correct"].tolist() == right
    assert [(s["target"], s["correct"]) for s in details["samples"]] == [(d["answer"], r) for d, r in zip(chosen, right, strict=True)]
    assert (details["task"], details["metric"], details["accuracy"], step.work) == ("grammar", "acc", sum(right) / 6, 6)
    assert set(given.digests) == {"documents", "tokenizer", "weights"}


def test_two_runs_are_the_same():
    one, other = (accuracy(inputs(), task="grammar", samples=4, model="default", batch=2) for _ in range(2))
    assert torch.equal(one.call()["loglikelihood"], other.call()["loglikelihood"])
    assert one.details() == other.details()
    hashes = [sample["prompt_hash"] for sample in one.details()["samples"]]
    assert len(set(hashes)) == 4


def test_free_text_is_judged_by_its_answer(monkeypatch):
    chosen = [{**d, "target": "" if i else "never this"} for i, d in enumerate(documents("arithmetic", 2))]
    monkeypatch.setattr(module, "documents", lambda *_: chosen)
    step = accuracy(inputs(), task="arithmetic", samples=2, model="default", batch=2)
    outputs = step.call()
    assert set(outputs) == {"correct"}
    assert [s["answer"] == s["target"] for s in step.details()["samples"]] == outputs["correct"].bool().tolist()
    assert outputs["correct"][0] == 0


def test_a_model_that_is_elsewhere_is_refused(tiny):
    with pytest.raises(AssayError, match="the model is on cpu, not on meta"):
        module._assert_placed(tiny.module, torch.device("meta"))


def test_bfloat16_weights_get_a_float32_softmax():
    values = accuracy(inputs(torch.bfloat16), task="grammar", samples=4, model="default", batch=4).call()["loglikelihood"]
    assert not torch.equal(values, values.bfloat16().double())


def test_cases_name_tasks_that_exist():
    assert len({case.id for case in CASES}) == len(CASES)
    assert {case.params["task"] for case in CASES} <= set(module_tasks())


def module_tasks():
    from suites.assets.tasks import _TASKS

    return _TASKS
