"""Which of the API's forms a server speaks: asked once, with small requests, and never guessed. Knows no socket and no engine by name.

All engines of interest say "OpenAI-compatible" and differ: vLLM takes token ids and scores a prompt with `prompt_logprobs`, SGLang with
`echo` and at least one new token, MindIE takes text only. Sampling defaults may come from a model's generation_config.json: each request
states all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.serving.answer import choice, logprobs, scored_by_echo, scored_by_prompt, sound, token_ids, usage
from harness.serving.engine import NotServed, ServingError
from harness.serving.http import Session

_IDS, _TEXT = (10, 11, 12, 13), "The sun rose over the hills."  # what is asked; any vocabulary has these ids
_PLAIN: Mapping[str, Any] = {"temperature": 0.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "seed": 0, "n": 1}
# vLLM's and SGLang's own: greedy whatever the model's defaults are, to the last token, and every token by its id
_OWN: Mapping[str, Any] = {
    "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "return_token_ids": True, "return_tokens_as_token_ids": True,
}  # fmt: skip
_WAYS = ("prompt_logprobs", "echo", "echo+1")


@dataclass(frozen=True)
class Dialect:
    """What a server was seen to do. `ids`: takes token ids; `own`: takes fields that are not OpenAI's; `scores`: how it scores a text."""

    ids: bool = True
    own: bool = True
    tells_ids: bool = True
    tells_logprobs: bool = True
    tells_usage: bool = True
    scores: str = ""

    def lacks(self) -> list[str]:
        """Return what cannot be asked of this server, in words."""
        said = {
            "prompts as token ids (text is sent, and its token count compared)": self.ids,
            "ignore_eos, top_k and the like": self.own,
            "the ids of new tokens": self.tells_ids, "the log-probabilities of new tokens": self.tells_logprobs,
            "usage at the end of a stream": self.tells_usage, "log-probabilities of a given text": bool(self.scores),
        }  # fmt: skip
        return [what for what, has in said.items() if not has]

    def completion(self, model: str, prompt: Any, new_tokens: int, *, stream: bool = False, to_the_end: bool = False) -> dict[str, Any]:
        """Return the body of a greedy completion. Log-probabilities are asked for where they are told."""
        body = {"model": model, "prompt": prompt, "max_tokens": new_tokens, **_PLAIN}
        if self.own:
            body |= {**_OWN, "ignore_eos": not to_the_end, "add_special_tokens": False}
        if self.tells_logprobs:
            body["logprobs"] = 1
        if stream:
            body |= {"stream": True, **({"stream_options": {"include_usage": True}} if self.tells_usage else {})}
        return body

    def scoring(self, model: str, prompt: Any) -> tuple[dict[str, Any], int]:
        """Return the body that asks for the log-probabilities of a prompt, and how many new tokens come with them. Raises NotServed."""
        if not self.scores:
            raise NotServed("the server scores no given text: neither prompt_logprobs nor echo with logprobs gave anything")
        new = 0 if self.scores == "echo" else 1
        body = self.completion(model, prompt, new)
        return body | ({"prompt_logprobs": 1} if self.scores == "prompt_logprobs" else {"echo": True, "logprobs": 1}), new


async def ask(session: Session, model: str) -> Dialect:
    """Return the dialect of a server. Raises ServingError where it does not even complete a short prompt."""
    dialect, answer = await _accepted(session, model)
    with sound():
        one = choice(answer)
        found = replace(dialect, tells_ids=token_ids(one) is not None, tells_logprobs=bool(logprobs(one)))
    for way in _WAYS if dialect.ids else ():  # of a text's tokens nobody could say which figure is whose
        if await _scores(session, model, found, way):
            found = replace(found, scores=way)
            break
    return replace(found, tells_usage=await _states_usage(session, model, found))


async def _accepted(session: Session, model: str) -> tuple[Dialect, dict[str, Any]]:
    """Return the widest form that the server takes, and its answer to it."""
    refused: ServingError | None = None
    for ids in (True, False):
        for own in (True, False):
            dialect = Dialect(ids=ids, own=own)
            try:
                return dialect, await session.post("/completions", dialect.completion(model, list(_IDS) if ids else _TEXT, 2))
            except ServingError as error:
                if error.kind != "rejected":
                    raise
                refused = error
    raise ServingError("rejected", f"the server refuses even a plain completion: {refused}")


async def _scores(session: Session, model: str, dialect: Dialect, way: str) -> bool:
    body, new = replace(dialect, scores=way).scoring(model, list(_IDS))
    try:
        answer = await session.post("/completions", body)
        with sound():
            found = scored_by_prompt(answer, _IDS) if way == "prompt_logprobs" else scored_by_echo(answer, _IDS, new)
    except ServingError as error:
        if error.kind in ("rejected", "miscounted", "malformed", "server error"):
            return False
        raise
    return found is not None


async def _states_usage(session: Session, model: str, dialect: Dialect) -> bool:
    body = dialect.completion(model, list(_IDS) if dialect.ids else _TEXT, 2, stream=True)
    try:
        return any([usage(event, "completion_tokens") is not None async for _, event in session.stream("/completions", body)])
    except ServingError as error:
        if error.kind == "rejected":
            return False
        raise
