"""A language model of 0.1 M parameters in place of the real one, and inputs that need no device."""

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.inputs import Inputs, draw_integers
from suites.assets.language_model import LanguageModel

VOCABULARY = 512


def tiny(**changes) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=256, tie_word_embeddings=True, initializer_range=0.1, attn_implementation="sdpa", **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


def load_tiny(_: str = "default") -> LanguageModel:
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), eos_token="w2")
    return LanguageModel(tiny(), tokenizer, "tiny", "drawn")


def batches(_tokenizer, batch, length, steps, start=0):
    drawn = draw_integers(0, "text", batch * length * (start + steps), 0, VOCABULARY)
    return torch.from_numpy(drawn)[start * batch * length :].reshape(steps, batch, length)


def inputs(dtype=torch.float32, golden=False) -> Inputs:
    return Inputs(0, dtype, lambda tensor: tensor, torch.device("cpu"), golden)


def use_tiny(monkeypatch: pytest.MonkeyPatch, *modules) -> None:
    for module in modules:
        monkeypatch.setattr(module, "load", load_tiny)
        monkeypatch.setattr(module, "token_batches", batches)


def run(step, rounds=1):
    """Return what the measuring harness keeps of the rounds."""
    first, series = {}, {}
    for number in range(rounds):
        outputs = step.call()
        if number == 0:
            first = {name: value for name, value in outputs.items() if name not in step.series}
        for name in step.series:
            series.setdefault(name, []).append(outputs[name])
    last = step.finish() if step.finish else {}
    return {**first, **last, **{name: torch.stack(values) for name, values in series.items()}}
