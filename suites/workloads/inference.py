"""A language model reads a prompt, and goes on greedily token by token with and without a cache. Knows no device and no sampling."""

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from harness.case import Case, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.decoding import Decoding
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.model import arithmetic, place


def prefill(inputs: Inputs, /, *, model: str, batch: int, length: int, last_only: bool = False) -> Step:
    """Read `batch` prompts of `length` tokens of real text in one forward pass; work is counted in tokens.

    Output: `logits` [batch * (length - 1), vocabulary] in float32 (float64 for the golden), or, with `last_only`, what a server
    computes: those of the last position alone [batch, vocabulary]. The first position is left out: with nothing to attend to
    it is badly conditioned (in bfloat16 its error was eight times that of the others), and would drown them. Raises AssayError
    when the model cannot be loaded.
    """
    language_model = load(model)
    tokens = inputs.given("tokens", token_batches(language_model.tokenizer, batch, length, 1))[0]
    module = place(inputs, language_model.module)
    kept = 1 if last_only else length - 1

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            logits: Tensor = module(input_ids=tokens, use_cache=last_only, logits_to_keep=kept).logits
            return {"logits": logits.flatten(0, 1).float()}

    return Step(call, work=batch * length, unit="tokens")


def greedy(inputs: Inputs, /, *, model: str, prompt: int, new_tokens: int, cache: bool) -> Step:
    """Continue a prompt of `prompt` tokens of real text by the most likely token, `new_tokens` times; work is counted in new tokens.

    With `cache` each step sees one token and the stored keys and values, without it the whole prefix. The end-of-text token does
    not end it, so that every device does the same number of steps. Outputs: `tokens` int64 [new_tokens], `logits`
    [new_tokens, vocabulary] in float32 (float64 for the golden). Details: the texts. Raises AssayError when the model
    cannot be loaded.
    """
    language_model = load(model)
    tokenizer = language_model.tokenizer
    start = inputs.given("tokens", token_batches(tokenizer, 1, prompt, 1))[0]
    module = place(inputs, language_model.module)
    decoded: list[Tensor] = []

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            tokens, logits = (_with_cache if cache else _whole_prefix)(module, start, new_tokens)
            decoded[:] = [tokens]
            return {"tokens": tokens, "logits": logits.float()}

    def details() -> dict[str, object]:
        facts = {"prompt": tokenizer.decode(start[0].tolist()), "text": tokenizer.decode(decoded[0].tolist())}
        return {**facts, "model": language_model.name, "source": language_model.source}

    return Step(call, work=new_tokens, unit="tokens", details=details)


def _with_cache(model: PreTrainedModel, start: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return greedy tokens [count] and the logits [count, vocabulary] that they were chosen by. Nothing is read back in the loop."""
    cache, ids = DynamicCache(config=model.config), start
    tokens, rows = [], []
    for _ in range(count):
        row = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
        ids = row.argmax().view(1, 1)
        tokens.append(ids[0, 0])
        rows.append(row)
    return torch.stack(tokens), torch.stack(rows)


def _whole_prefix(model: PreTrainedModel, start: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the same as `_with_cache`, computing everything anew for every token."""
    ids, rows = start, []
    for _ in range(count):
        row = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
        ids = torch.cat([ids, row.argmax().view(1, 1)], dim=1)
        rows.append(row)
    return ids[0, -count:], torch.stack(rows)


def _prefill_case(dtype: str) -> Case:
    params: dict[str, Scalar] = {"model": "default", "batch": 1, "length": 64}
    return Case(f"inference/prefill[{dtype}]", "inference", prefill, dtype, (SpecialValues(), Closeness()), params)


def _greedy_case(name: str, dtype: str, cache: bool) -> Case:
    checks = (SpecialValues(), Decoding(tokens="tokens", logits="logits"))
    params: dict[str, Scalar] = {"model": "default", "prompt": 32, "new_tokens": 24, "cache": cache}
    return Case(f"inference/{name}[{dtype}]", "inference", greedy, dtype, checks, params)


CASES = (
    _prefill_case("float32"),
    _prefill_case("bfloat16"),
    _greedy_case("greedy-cached", "float32", cache=True),
    _greedy_case("greedy-cached", "bfloat16", cache=True),
    _greedy_case("greedy-recomputed", "float32", cache=False),
)
