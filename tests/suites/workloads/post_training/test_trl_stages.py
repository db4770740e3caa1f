"""What the stages through TRL consist of, as far as it needs no trl; the training itself is in `tests/emulator/test_trl_stages.py`."""

import sys

import pytest
import torch

from harness.errors import AssayError
from suites.assets.families import byte_tokenizer
from suites.assets.language_model import load
from suites.workloads.post_training.rollout import gumbel, prompt_tokens, roll_out
from suites.workloads.post_training.trl_stages import CASES, _Rollouts, even, preference_texts, trl_sft
from tests.suites.workloads.tiny_model import inputs

TEXTS = ["12 + 34 =", "56 + 21 ="]


def test_four_stages_on_five_families() -> None:
    stages = {case.id.split("/")[1] for case in CASES}
    assert stages == {"trl-sft", "trl-dpo", "trl-grpo", "trl-distillation"}
    assert len(CASES) == 20
    assert all(case.rounds == 1 and case.golden and case.dtype == "float32" and case.band == 3 for case in CASES)


def test_without_trl_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(AssayError, match=r"pip install 'ascend-assay\[post\]'"):
        trl_sft(inputs(), model="tiny:llama", batch=1, length=8, steps=1, learning_rate=1e-3)


def test_even_counts_even_tokens() -> None:
    assert even(completion_ids=[[1, 2, 4, 6], [3], []], prompts=None) == [0.75, 0.0, 0.0]


def test_preferences_are_ascii_texts_that_encode_to_what_was_cut() -> None:
    tokenizer = byte_tokenizer()
    texts = preference_texts(tokenizer, 5, 40)
    assert {name: len(found) for name, found in texts.items()} == {"prompt": 5, "chosen": 5, "rejected": 5}
    for prompt, chosen in zip(texts["prompt"], texts["chosen"], strict=True):
        assert tokenizer.encode(prompt + chosen) == tokenizer.encode(prompt) + tokenizer.encode(chosen)
        assert len(tokenizer.encode(prompt + chosen)) <= 40


def test_too_few_preferences_are_refused() -> None:
    with pytest.raises(AssayError, match="ask for fewer"):
        preference_texts(byte_tokenizer(), 100_000, 40)


def test_generation_with_given_noise_samples_as_our_rollout_does() -> None:
    language_model = load("tiny:llama")
    model, tokenizer = language_model.module, language_model.tokenizer
    prompts = prompt_tokens(tokenizer, TEXTS).repeat_interleave(2, 0)
    given = inputs()
    rollouts = _Rollouts(given, language_model, TEXTS, 4, 8, 2)
    rollouts.through(model)
    for _ in range(2):
        model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=8, do_sample=False, pad_token_id=256)
    found = rollouts.outputs()["completions"]
    assert found.shape == (2, 4, 8)
    noise = gumbel(given.seed, "noise", (2, 8, 4, 259))
    for number in (0, 1):
        expected = roll_out(model, prompts, noise[number].transpose(0, 1)).tokens
        for row, wanted in zip(found[number].tolist(), expected.tolist(), strict=True):
            end = wanted.index(258) + 1 if 258 in wanted else 8  # ours goes on after the end of text
            assert row[:end] == wanted[:end]
            assert set(row[end:]) <= {256}
