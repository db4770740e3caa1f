"""What tasks ask of a language model, asked of an engine: log-likelihoods, and text until a stop. Knows no task and no lm-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import AssayError
from harness.serving.engine import Engine, Ids, NotServed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def loglikelihoods(engine: Engine, pairs: Sequence[tuple[Ids, Ids]]) -> list[tuple[float, bool]]:
    """Return of each (context, continuation), neither empty, the continuation's log-likelihood (nats) and whether it is greedy.

    Raises NotServed where the server does not tell the latter.
    """
    found = []
    scored = engine.score([[*context, *continuation] for context, continuation in pairs], together=True)
    for one, (_, continuation) in zip(scored, pairs, strict=True):
        if not one.greedy:
            raise NotServed("the server does not tell whether a token of a given text was the likeliest")
        count = len(continuation)
        found.append((sum(one.logprobs[-count:]), all(one.greedy[-count:])))
    return found


def texts(engine: Engine, tokenizer: PreTrainedTokenizerBase, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return the greedy text after each context, cut before the first of its stops. `asked` has lm-eval's generation arguments.

    Raises AssayError where a task wants to draw at random: what was drawn could not be compared.
    """
    answers: dict[int, str] = {}
    limits = [int(how.get("max_gen_toks", 256)) for _, how in asked]
    if any(how.get("do_sample") and how.get("temperature") for _, how in asked):
        raise AssayError("the task draws its answers at random, and an endpoint's draws cannot be compared; choose a greedy task")
    for limit in sorted(set(limits)):
        numbers = [number for number, own in enumerate(limits) if own == limit]
        prompts = [tokenizer.encode(asked[number][0], add_special_tokens=False) for number in numbers]
        for number, found in zip(numbers, engine.generate(prompts, limit, together=True, to_the_end=True), strict=True):
            answers[number] = _cut(str(tokenizer.decode(list(found.tokens), skip_special_tokens=True)), asked[number][1].get("until", ()))
    return [answers[number] for number in range(len(asked))]


def _cut(text: str, until: str | Sequence[str]) -> str:
    for stop in [until] if isinstance(until, str) else until:
        text = text.split(stop)[0] if stop else text
    return text
