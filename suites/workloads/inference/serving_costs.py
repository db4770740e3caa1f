"""What a user waits for: the first token of a prompt (TTFT), and each token after it (TPOT). Knows no device, no server and no clock.

One call is one wait, so the harness's rounds are the raw samples; cases that are timed are in `suites/workloads/performance.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.case import Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.special_values import SpecialValues
from harness.errors import AssayError
from harness.inputs import Inputs
from reference.kv_cache import numbers
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.inference.caches import DYNAMIC, bytes_of, new_cache
from suites.workloads.inference.families import on_families
from suites.workloads.model import arithmetic, place

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel


def first_token(inputs: Inputs, /, *, model: str, batch: int, context: int) -> Step:
    """Read `batch` prompts of `context` tokens of real text and choose the next token of each; work is counted in prompts.

    Outputs: `logits` [batch, vocabulary] in float32 (float64 for the golden). Details: `costs`, with what the cache takes. Raises
    AssayError when the model cannot be loaded.
    """
    language_model = load(model)
    tokens = inputs.given("tokens", token_batches(language_model.tokenizer, batch, context, 1)[0])
    module = place(inputs, language_model.module)
    held: list[Cache] = []

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            held[:] = [new_cache(module, DYNAMIC, context)]
            logits: Tensor = module(input_ids=tokens, past_key_values=held[0], use_cache=True, logits_to_keep=1).logits[:, -1]
            logits.argmax(-1)
            return {"logits": logits.float()}

    return Step(call, work=batch, unit="prompts", details=lambda: _costs("ttft", module, batch, context, held[0]))


def next_token(inputs: Inputs, /, *, model: str, batch: int, context: int) -> Step:
    """Read one token after `batch` prompts of `context` tokens of real text; each further call what the last one has chosen.

    Outputs and details: those of `first_token`. Work is counted in tokens. Raises AssayError when the model cannot be loaded.
    """
    language_model = load(model)
    tokens = inputs.given("tokens", token_batches(language_model.tokenizer, batch, context + 1, 1)[0])
    module = place(inputs, language_model.module)
    cache = new_cache(module, DYNAMIC, context)
    with torch.no_grad(), arithmetic(inputs):
        module(input_ids=tokens[:, :-1], past_key_values=cache, use_cache=True, logits_to_keep=1)
    costs = _costs("tpot", module, batch, context, cache)
    ids = [tokens[:, -1:]]

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            logits: Tensor = module(input_ids=ids[0], past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
            ids[0] = logits.argmax(-1, keepdim=True)
            return {"logits": logits.float()}

    return Step(call, work=batch, unit="tokens", details=lambda: costs)


def _costs(kind: str, module: PreTrainedModel, batch: int, context: int, cache: Cache) -> dict[str, object]:
    """Return what was waited for, and the bytes of the cache: measured, and counted where the family is described."""
    try:
        counted: int | None = batch * numbers(module.config, context) * module.dtype.itemsize
    except AssayError:
        counted = None
    told = {"kind": kind, "batch": batch, "context": context, "cache_bytes": bytes_of(cache), "cache_counted": counted}
    return {"costs": {"serving": told}}


_CHECKS: tuple[Promise, ...] = (SpecialValues(), Closeness())
_PARAMS: dict[str, Scalar] = {"batch": 2, "context": 48}

CASES = (
    *on_families("first-token", first_token, _CHECKS, _PARAMS),
    *on_families("next-token", next_token, _CHECKS, _PARAMS),
)
