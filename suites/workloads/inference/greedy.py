"""A language model goes on greedily, token by token, with and without a cache. Knows no device and no sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.case import Case, Promise, Scalar, Step
from harness.checks.decoding import Decoding
from harness.checks.divergence import Divergence
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from reference import traffic
from suites.assets.corpus import token_batches
from suites.assets.families import FAMILIES
from suites.assets.language_model import load
from suites.workloads.costs import costed
from suites.workloads.inference.caches import DYNAMIC, STATIC, WITHOUT_STATIC, new_cache
from suites.workloads.inference.families import ALL, DTYPES, on_families
from suites.workloads.model import arithmetic, place

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NONE = "none"


def greedy(inputs: Inputs, /, *, model: str, prompt: int, new_tokens: int, cache: str) -> Step:
    """Continue a prompt of `prompt` tokens of real text by the most likely token, `new_tokens` times; work is counted in new tokens.

    With a `cache` ("dynamic", "static") each step sees one token and what is stored of the others, with "none" the whole prefix. The
    end-of-text token does not end it, so that every device does the same number of steps. Outputs: `tokens` int64 [new_tokens], `logits`
    [new_tokens, vocabulary] in float32 (float64 for the golden). Details: the texts. Raises AssayError when the model cannot be loaded.
    """
    language_model = load(model)
    tokenizer = language_model.tokenizer
    start = inputs.given("tokens", token_batches(tokenizer, 1, prompt, 1))[0]
    module = place(inputs, language_model.module)
    decoded: list[Tensor] = []

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            tokens, logits = _whole_prefix(module, start, new_tokens) if cache == NONE else _cached(module, start, new_tokens, cache)
            decoded[:] = [tokens]
            return {"tokens": tokens, "logits": logits.float()}

    def details() -> Mapping[str, object]:
        text = tokenizer.decode(decoded[0].tolist())
        return {"prompt": tokenizer.decode(start[0].tolist()), "text": text, "model": language_model.name, "source": language_model.source}

    step = Step(call, work=new_tokens, unit="tokens", details=details)
    if cache == NONE:
        return step
    seen, config, size = prompt + new_tokens - 1, module.config, inputs.dtype.itemsize
    return costed(step, lambda: traffic.operations(config, seen, new_tokens), lambda: traffic.decoding(config, prompt, new_tokens, size))


def _cached(model: PreTrainedModel, start: Tensor, count: int, kind: str) -> tuple[Tensor, Tensor]:
    """Return greedy tokens [count] and the logits [count, vocabulary] that they were chosen by. Nothing is read back in the loop."""
    cache, ids = new_cache(model, kind, start.shape[1] + count), start
    tokens, rows = [], []
    for _ in range(count):
        row = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
        ids = row.argmax().view(1, 1)
        tokens.append(ids[0, 0])
        rows.append(row)
    return torch.stack(tokens), torch.stack(rows)


def _whole_prefix(model: PreTrainedModel, start: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the same as `_cached`, computing everything anew for every token."""
    ids, rows = start, []
    for _ in range(count):
        row = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
        ids = torch.cat([ids, row.argmax().view(1, 1)], dim=1)
        rows.append(row)
    return ids[0, -count:], torch.stack(rows)


_CHECKS: tuple[Promise, ...] = (SpecialValues(), Decoding(tokens="tokens", logits="logits"), Divergence("logits", tokens="tokens"))
_PARAMS: dict[str, Scalar] = {"prompt": 32, "new_tokens": 24}


def _case(name: str, dtype: str, cache: str) -> Case:
    return Case(f"inference/{name}[{dtype}]", "inference", greedy, dtype, _CHECKS, {"model": "default", **_PARAMS, "cache": cache})


CASES = (
    *(_case("greedy-cached", dtype, DYNAMIC) for dtype in DTYPES),
    _case("greedy-recomputed", "float32", NONE),
    *on_families("greedy-cached", greedy, _CHECKS, {**_PARAMS, "cache": DYNAMIC}, default=False),
    *on_families(
        "greedy-static", greedy, _CHECKS, {**_PARAMS, "cache": STATIC}, families=(f for f in ALL if FAMILIES[f].kind not in WITHOUT_STATIC)
    ),
)
