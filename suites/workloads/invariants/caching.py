"""What is kept of earlier tokens says the same as computing them anew. Knows no device."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.workloads.invariants.stating import ALL, Stated, agree, exact, hold, moved, stated
from suites.workloads.invariants.subject import logits, subject, terms, text

_LENGTH = 33  # two blocks of the heaviest compression, and one token more
_DECODED = 5


def new_cache(module: Any) -> Any:
    """Return an empty cache of keys and values for `module`."""
    from transformers import DynamicCache

    return DynamicCache(config=module.config)


def in_portions(module: Any, tokens: Tensor, portions: Sequence[int]) -> Tensor:
    """Return the logits [batch, length, vocabulary] of tokens that are given in portions of those lengths, with a cache."""
    cache, found = new_cache(module), []
    for part in torch.split(tokens, list(portions), 1):
        found.append(module(input_ids=part, past_key_values=cache, use_cache=True).logits.float())
    return torch.cat(found, 1)


def cached_decoding(inputs: Inputs, /, *, model: str) -> Step:
    """One token at a time, with a cache, gives the logits of all at once."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)

    @torch.no_grad()
    def check() -> Stated:
        right = logits(module, tokens)
        return {**agree("logits", in_portions(module, tokens, [1] * _LENGTH), right), **moved("places", right[:, 1:] - right[:, :-1])}

    return stated(check, terms(module, _LENGTH))


def prefill_and_decode(inputs: Inputs, /, *, model: str) -> Step:
    """A prompt at once and then token by token gives the logits of all at once, for prompts that end at and beside a block's edge."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)

    @torch.no_grad()
    def check() -> Stated:
        right = logits(module, tokens)
        said: dict[str, Tensor] = {}
        for prompt in (14, 16, 27):
            end = prompt + _DECODED
            found = in_portions(module, tokens[:, :end], [prompt, *[1] * _DECODED])
            said |= agree(f"prompt of {prompt}", found, right[:, :end])
        return said

    return stated(check, terms(module, _LENGTH))


def prefill_in_chunks(inputs: Inputs, /, *, model: str) -> Step:
    """A prompt in chunks of any length gives the logits of the prompt at once."""
    module = subject(inputs, model)
    tokens = text(inputs, 1, _LENGTH)

    @torch.no_grad()
    def check() -> Stated:
        right = logits(module, tokens)
        return {
            **agree("edges", in_portions(module, tokens, [16, 16, 1]), right),
            **agree("odd", in_portions(module, tokens, [7, 21, 5]), right),
        }

    return stated(check, terms(module, _LENGTH))


def caches_are_apart(inputs: Inputs, /, *, model: str) -> Step:
    """Two sequences decoded in turns, each with its cache, have the bits that they have one after the other."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, 13)

    @torch.no_grad()
    def check() -> Stated:
        alone = [in_portions(module, tokens[i : i + 1], [8, *[1] * _DECODED]) for i in range(2)]
        caches = [new_cache(module) for _ in range(2)]
        found: list[list[Tensor]] = [[], []]
        for begin, end in [(0, 8), *((n, n + 1) for n in range(8, 13))]:
            for i, cache in enumerate(caches):
                found[i].append(_next(module, tokens[i : i + 1, begin:end], cache))
        return {k: v for i in range(2) for k, v in exact(f"sequence {i}", torch.cat(found[i], 1), alone[i]).items()}

    return stated(check)


def _next(module: Any, tokens: Tensor, cache: object) -> Tensor:
    found: Tensor = module(input_ids=tokens, past_key_values=cache, use_cache=True).logits.float()
    return found


CASES = (
    *hold(cached_decoding, ALL, Cause.IMPURE),
    *hold(prefill_and_decode, ALL, Cause.IMPURE),
    *hold(prefill_in_chunks, ALL, Cause.IMPURE),
    *hold(caches_are_apart, ALL, Cause.IMPURE),
)
