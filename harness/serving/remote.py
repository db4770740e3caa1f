"""An engine behind an OpenAI-compatible API. Knows no case and no tokenizer but by the function that turns ids into text."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from harness.errors import AssayError
from harness.serving.answer import choice, logprobs, prompt_ids, read_whole, scored_by_echo, scored_by_prompt, sound, token_ids, usage
from harness.serving.awaiting import awaited
from harness.serving.dialect import Dialect, ask
from harness.serving.engine import Continuation, Ids, Message, NotServed, Read, Scored, ServingError
from harness.serving.http import Server, Session

_T = TypeVar("_T")
_TOGETHER = 32  # requests at a time, where many may be


@dataclass(frozen=True)
class Endpoint:
    """A server that was asked what it serves. `engine` and `version` are its own words, empty where it says nothing of itself."""

    server: Server
    model: str
    dialect: Dialect
    max_length: int | None = None
    engine: str = ""
    version: str = ""

    def spoken(self, text_of: Callable[[Ids], str]) -> "Remote":
        """Return the engine; `text_of` turns ids into text for a server that takes no ids."""
        return Remote(self, text_of)


def connected(server: Server, model: str = "") -> Endpoint:
    """Return what stands at an address. Raises AssayError: unreachable, no such model, several and none named, no completions."""
    return awaited(_connected(server, model))


async def _connected(server: Server, model: str) -> Endpoint:
    async with server.session() as session:
        listed = (await session.get(f"{server.url.rstrip('/')}/models")).get("data")
        offered = {str(one["id"]): one for one in listed or () if isinstance(one, dict) and "id" in one}
        if not offered:
            raise AssayError("the endpoint lists no model at /models; does its address end in /v1?")
        if not model and len(offered) > 1:
            raise AssayError(f"the endpoint serves {', '.join(offered)}; name one with --endpoint-model")
        name = model or next(iter(offered))
        if name not in offered:
            raise AssayError(f"the endpoint does not serve {name!r} but {', '.join(offered)}; name one of them with --endpoint-model")
        length = offered[name].get("max_model_len")
        owner = str(offered[name].get("owned_by", ""))[:40]
        version = await _version(session, server)
        return Endpoint(server, name, await ask(session, name), length if isinstance(length, int) else None, owner, version)


async def _version(session: Session, server: Server) -> str:
    """Return what vLLM, or SGLang, says of its version; empty where there is no such page."""
    for page in ("/version", "/get_server_info"):
        try:
            found = (await session.get(f"{server.root}{page}")).get("version")
        except ServingError:
            continue
        if isinstance(found, str):
            return found[:80]
    return ""


@dataclass(frozen=True)
class Remote:
    """See `harness.serving.engine.Engine`. Every answer is checked against what was asked: tokens read, tokens made, usage."""

    endpoint: Endpoint
    text_of: Callable[[Ids], str]

    def score(self, prompts: Sequence[Ids], *, together: bool = False) -> list[Scored]:
        """See `Engine`."""
        self.endpoint.dialect.scoring(self.endpoint.model, "")
        return awaited(self._ask([partial(self._score, prompt=prompt) for prompt in prompts], together))

    def generate(self, prompts: Sequence[Ids], new_tokens: int, *, together: bool = False, to_the_end: bool = False) -> list[Continuation]:
        """See `Engine`. Raises NotServed where the server does not tell which tokens it made."""
        if not self.endpoint.dialect.tells_ids:
            raise NotServed("the server does not tell the ids of its tokens (neither return_token_ids nor return_tokens_as_token_ids)")
        each = [partial(self.continued, prompt=prompt, new_tokens=new_tokens, to_the_end=to_the_end) for prompt in prompts]
        return awaited(self._ask(each, together))

    def read(self, texts: Sequence[str], conversations: Sequence[Sequence[Message]]) -> list[Read]:
        """See `Engine`. Special tokens are added as the server does by default."""
        own = {"return_token_ids": True} if self.endpoint.dialect.own else {}
        plain = {"model": self.endpoint.model, "max_tokens": 1, "temperature": 0.0, **own}
        asked = [("/completions", plain | {"prompt": text}) for text in texts]
        asked += [("/chat/completions", plain | {"messages": [dict(turn) for turn in turns]}) for turns in conversations]
        return awaited(self._ask([partial(_read, path=path, body=body) for path, body in asked]))

    async def _ask(self, questions: Sequence[Callable[[Session], Awaitable[_T]]], together: bool = False) -> list[_T]:
        """Ask in turn, or many at a time; the first failure ends it, and no question is sent after it."""
        async with self.endpoint.server.session() as session:
            if not together:
                return [await question(session) for question in questions]
            room = asyncio.Semaphore(_TOGETHER)
            asked = [asyncio.ensure_future(_when(room, question, session)) for question in questions]
            try:
                return list(await asyncio.gather(*asked))
            finally:
                for task in asked:
                    task.cancel()
                await asyncio.gather(*asked, return_exceptions=True)

    def _prompt(self, prompt: Ids) -> object:
        return list(prompt) if self.endpoint.dialect.ids else self.text_of(prompt)

    async def _score(self, session: Session, prompt: Ids) -> Scored:
        body, new = self.endpoint.dialect.scoring(self.endpoint.model, self._prompt(prompt))
        answer = await session.post("/completions", body)
        with sound():
            read_whole(answer, prompt)
            found = scored_by_prompt(answer, prompt) if "prompt_logprobs" in body else scored_by_echo(answer, prompt, new)
        if found is None:
            raise ServingError("malformed", "the answer has no log-probabilities of the prompt, where it had them before")
        return found

    async def continued(self, session: Session, prompt: Ids, new_tokens: int, to_the_end: bool = False) -> Continuation:
        """Return one streamed continuation with the arrival of each token. Raises ServingError: any contradiction in the answer."""
        body = self.endpoint.dialect.completion(self.endpoint.model, self._prompt(prompt), new_tokens, stream=True, to_the_end=to_the_end)
        answer, sent = _Streamed(self.endpoint.dialect.tells_ids), time.perf_counter()
        async with aclosing(session.stream("/completions", body)) as events:
            async for at, event in events:
                with sound():
                    read_whole(event, prompt)
                    answer.take(at - sent, event)
        return answer.whole(None if to_the_end else new_tokens)


async def _when(room: asyncio.Semaphore, question: Callable[[Session], Awaitable[_T]], session: Session) -> _T:
    async with room:
        return await question(session)


async def _read(session: Session, path: str, body: dict[str, Any]) -> Read:
    answer = await session.post(path, body)
    with sound():
        ids, count = prompt_ids(answer), usage(answer, "prompt_tokens")
    if count is None:
        raise NotServed("the server states no usage, so nobody knows how many tokens it has read")
    if ids is not None and len(ids) != count:
        raise ServingError("miscounted", f"usage states {count} prompt tokens, the server names {len(ids)}")
    return Read(count, tuple(ids or ()))


class _Streamed:
    """Gathers the chunks of one answer."""

    def __init__(self, tells_ids: bool) -> None:
        self._tells_ids = tells_ids
        self._tokens, self._logprobs, self._seconds, self._pieces = list[int](), list[float](), list[float](), list[float]()
        self._stated: int | None = None
        self._finish = ""

    def take(self, seconds: float, event: dict[str, Any]) -> None:
        one, stated = choice(event), usage(event, "completion_tokens")
        self._stated = self._stated if stated is None else stated
        ids = token_ids(one)
        if ids is not None:
            self._tokens += ids
            self._seconds += [seconds] * len(ids)
        if ids or one.get("text"):
            self._pieces.append(seconds)
        self._logprobs += logprobs(one)
        self._finish = str(one.get("finish_reason") or self._finish)

    def whole(self, wanted: int | None) -> Continuation:
        if not self._finish:
            raise ServingError("dropped", "the stream ended without a finish_reason: the answer is not whole")
        if self._tells_ids and self._stated not in (None, len(self._tokens)):
            raise ServingError("miscounted", f"usage states {self._stated} new tokens, {len(self._tokens)} came")
        count = len(self._tokens) if self._tells_ids else self._stated
        if count is None:
            raise NotServed("the server tells neither the ids of its tokens nor, at the end of a stream, their number")
        if wanted is not None and count != wanted:
            raise ServingError("miscounted", f"{count} new tokens (finish_reason {self._finish}), {wanted} were asked for with ignore_eos")
        if self._logprobs and self._tokens and len(self._logprobs) != count:
            raise ServingError("miscounted", f"{len(self._logprobs)} log-probabilities of {count} tokens")
        return Continuation(tuple(self._tokens), tuple(self._logprobs), count, tuple(self._arrivals(count)))

    def _arrivals(self, count: int) -> list[float]:
        """Return when each token came. Without ids, of chunks that are not one token each, only the first and the last are known."""
        if self._tells_ids or len(self._pieces) == count or not self._pieces:
            return self._seconds or self._pieces
        return [self._pieces[0], *[math.nan] * (count - 2), self._pieces[-1]][:count]
