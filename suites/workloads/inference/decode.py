"""A language model reads a text token by token through a cache, and what the cache holds is compared too. Knows no device.

The text is given, so nothing depends on what was chosen before, and every step of every side can be compared. The golden's logits are
those of one pass without a cache, so a cache that is wrong on both sides is wrong nevertheless.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.case import Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.divergence import Divergence
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.families import FAMILIES
from suites.assets.language_model import load
from suites.workloads.inference.caches import DYNAMIC, STATIC, WITHOUT_STATIC, contents, new_cache
from suites.workloads.inference.families import ALL, on_families
from suites.workloads.inference.replaying import selecting
from suites.workloads.model import arithmetic, place

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel


def decode(inputs: Inputs, /, *, model: str, batch: int, prompt: int, new_tokens: int, cache: str, replay: bool = False) -> Step:
    """Read `batch` prompts of `prompt` tokens of real text, then `new_tokens` more one at a time; work is counted in new tokens.

    Outputs: `logits` [batch * (prompt + new_tokens - 1), vocabulary] of all places but the first, in float32 (float64 for the golden), and
    `cache/<layer>/<what>`, each tensor of the cache in its own shape. Raises AssayError when the model cannot be loaded.
    """
    language_model = load(model)
    host = token_batches(language_model.tokenizer, batch, prompt + new_tokens, 1)[0]
    tokens = inputs.given("tokens", host)
    choosing = selecting(inputs, language_model.module, lambda module: read(module, host, prompt, cache), replay)
    module = place(inputs, language_model.module)

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs), choosing():
            logits, held = read(module, tokens, prompt, cache)
            if inputs.golden and not replay:
                logits = module(input_ids=tokens, use_cache=False).logits
            return {"logits": logits[:, 1:].flatten(0, 1).float(), **contents(held)}

    return Step(call, work=batch * new_tokens, unit="tokens")


def read(module: PreTrainedModel, tokens: Tensor, prompt: int, kind: str, **more: Tensor) -> tuple[Tensor, Cache]:
    """Return the logits [batch, length, vocabulary] of a prompt that is read at once and tokens that follow one by one, and the cache."""
    held, rows = new_cache(module, kind, tokens.shape[1]), []
    for part in torch.split(tokens, [prompt, *[1] * (tokens.shape[1] - prompt)], 1):
        rows.append(module(input_ids=part, past_key_values=held, use_cache=True, **more).logits)
    return torch.cat(rows, 1), held


_CHECKS: tuple[Promise, ...] = (
    SpecialValues(), Closeness(only=("logits",)), Closeness(only=("cache/*",), samples=True, name="cache"), Divergence("logits"),
)  # fmt: skip
_PARAMS: dict[str, Scalar] = {"batch": 2, "prompt": 21, "new_tokens": 20}

CASES = (
    *on_families("decode", decode, _CHECKS, {**_PARAMS, "cache": DYNAMIC}, replays=True, defined=("logits",)),
    *on_families(
        "decode-static", decode, _CHECKS, {**_PARAMS, "cache": STATIC}, replays=True, defined=("logits",),
        families=(f for f in ALL if FAMILIES[f].kind not in WITHOUT_STATIC),
    ),
)  # fmt: skip
