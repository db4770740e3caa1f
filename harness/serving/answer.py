"""What a server's answer says: tokens, log-probabilities, usage; every contradiction is an error. Knows no socket.

The shapes are those of vLLM (`prompt_logprobs`, `token_ids`, "token_id:N"), SGLang (`echo` with a new token) and OpenAI's completions.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from harness.serving.engine import Ids, Scored, ServingError

_MARK = "token_id:"  # vLLM, with return_tokens_as_token_ids


@contextmanager
def sound() -> Iterator[None]:
    """Call an answer malformed whose parts are of another kind than they must be."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServingError("malformed", f"a part of the answer is not of its kind ({type(error).__name__}: {error})") from error


def choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one choice of an answer or chunk; empty in the chunk that only states usage. Raises ServingError."""
    found = answer.get("choices")
    if not isinstance(found, list) or len(found) > 1 or not all(isinstance(one, dict) for one in found):
        raise ServingError("malformed", f"the answer has {found!r:.80} where one choice is due")
    return dict(found[0]) if found else {}


def token_ids(one: Mapping[str, Any]) -> list[int] | None:
    """Return the new tokens of a choice, where the server tells them."""
    for name in ("token_ids", "response_token_ids"):
        if isinstance(one.get(name), list):
            return [int(token) for token in one[name]]
    tokens = _listed(one.get("logprobs"), "tokens")
    if tokens and all(isinstance(token, str) and token.startswith(_MARK) for token in tokens):
        return [int(token.removeprefix(_MARK)) for token in tokens]
    return None


def logprobs(one: Mapping[str, Any]) -> list[float]:
    """Return the log-probabilities of the new tokens of a choice; empty where there are none."""
    return [float(value) for value in _listed(one.get("logprobs"), "token_logprobs") if value is not None]


def prompt_ids(answer: Mapping[str, Any]) -> list[int] | None:
    """Return the prompt as the server has tokenised it, where it tells."""
    for place in (answer, choice(answer)):
        if isinstance(place.get("prompt_token_ids"), list):
            return [int(token) for token in place["prompt_token_ids"]]
    return None


def usage(answer: Mapping[str, Any], name: str) -> int | None:
    """Return a figure of the usage that the server states (`prompt_tokens`, `completion_tokens`), or None."""
    stated = answer.get("usage")
    value = stated.get(name) if isinstance(stated, Mapping) else None
    return value if isinstance(value, int) else None


def read_whole(answer: Mapping[str, Any], prompt: Ids) -> None:
    """Raise ServingError where the server has read more or fewer tokens than it was given."""
    read = usage(answer, "prompt_tokens")
    if read is not None and read != len(prompt):
        why = "it has cut the prompt" if read < len(prompt) else "it has added tokens (a start token?)"
        raise ServingError("miscounted", f"the server read {read} tokens of a prompt of {len(prompt)}: {why}")


def scored_by_prompt(answer: Mapping[str, Any], prompt: Ids) -> Scored | None:
    """Return vLLM's `prompt_logprobs` of a prompt, or None where the answer has none. Raises ServingError: of another length or token."""
    rows = choice(answer).get("prompt_logprobs") or answer.get("prompt_logprobs")
    if not isinstance(rows, list):
        return None
    if len(rows) != len(prompt):
        raise ServingError(
            "miscounted", f"log-probabilities of {len(rows)} prompt tokens, {len(prompt)} were sent: the prompt was cut or added to"
        )
    values, best = [], []
    for at, (row, token) in enumerate(zip(rows[1:], prompt[1:], strict=True), 1):
        told = {int(key): _logprob(value) for key, value in row.items()} if isinstance(row, Mapping) else {}
        if token not in told:
            raise ServingError("malformed", f"prompt_logprobs has no figure for token {at} of the prompt, which is {token}")
        values.append(told[token])
        best.append(told[token] >= max(told.values()))
    return Scored(tuple(values), tuple(best))


def scored_by_echo(answer: Mapping[str, Any], prompt: Ids, new_tokens: int) -> Scored | None:
    """Return the log-probabilities that `echo` gives of a prompt, or None where the answer has none of it.

    Raises ServingError: another number of tokens.
    """
    found = choice(answer).get("logprobs")
    values = _listed(found, "token_logprobs")
    if len(values) <= new_tokens:
        return None
    values = values[: len(values) - new_tokens]
    if len(values) != len(prompt):
        raise ServingError(
            "miscounted", f"log-probabilities of {len(values)} prompt tokens, {len(prompt)} were sent: the prompt was cut or added to"
        )
    named = [_named(token) for token in _listed(found, "tokens")[: len(prompt)]]
    if wrong := [at for at, (ours, theirs) in enumerate(zip(named, prompt, strict=False)) if ours not in (None, theirs)]:
        raise ServingError("malformed", f"the echoed token {wrong[0]} is {named[wrong[0]]}, {prompt[wrong[0]]} was sent")
    if any(value is None for value in values[1:]):
        raise ServingError("malformed", "a prompt token after the first has no log-probability")
    top = _listed(found, "top_logprobs")[1 : len(prompt)]
    given = tuple(float(value) for value in values[1:])
    told = len(top) == len(given) and all(isinstance(row, Mapping) and row for row in top)
    return Scored(given, tuple(one >= max(row.values()) for one, row in zip(given, top, strict=True)) if told else ())


def _logprob(value: Any) -> float:
    return float(value["logprob"] if isinstance(value, Mapping) else value)


def _named(token: object) -> int | None:
    return int(token.removeprefix(_MARK)) if isinstance(token, str) and token.startswith(_MARK) else None


def _listed(place: object, name: str) -> Sequence[Any]:
    value = place.get(name) if isinstance(place, Mapping) else None
    return value if isinstance(value, list) else []
