"""HTTP to an endpoint: requests, streams with the time of each event, and every failure as one kind of error. Knows no API but JSON.

A request that fails is never sent again: whoever asked decides. The key goes into one header and is cut out of whatever a server says.
No name or address of a host is part of a message: messages are kept in Runs.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import AssayError
from harness.serving.engine import ServingError
from harness.serving.stream import Events, parsed, words

if TYPE_CHECKING:
    import aiohttp

_CONNECT = 10.0  # seconds
_REFUSING = (429, 503)
_LONGEST_WAIT = 30.0  # seconds of a Retry-After that are believed


@dataclass(frozen=True)
class Server:
    """Where an endpoint is: `url` up to and with its version (http://host:8000/v1), and how many seconds a request may take altogether."""

    url: str
    timeout: float = 120.0
    key: str = field(default="", repr=False)

    @property
    def root(self) -> str:
        """The address without the API's version, where engines keep what is not OpenAI's."""
        return self.url.rstrip("/").removesuffix("/v1")

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Open connections, as many as are asked for. Raises AssayError: aiohttp missing."""
        try:
            import aiohttp  # here: an extra
        except ImportError as error:
            raise AssayError(f"--endpoint needs aiohttp ({error}); run: pip install 'ascend-assay[serving]'") from error
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limits = aiohttp.ClientTimeout(total=self.timeout, connect=min(_CONNECT, self.timeout))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers, timeout=limits) as opened:
            yield Session(self, opened)


class Session:
    """Open connections to one server."""

    def __init__(self, server: Server, opened: aiohttp.ClientSession) -> None:
        self._server, self._opened = server, opened

    async def get(self, url: str) -> dict[str, Any]:
        """Return the object at an address. Raises ServingError."""
        with self._told():
            async with self._opened.get(url) as response:
                return parsed(await self._body(response))

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request as a whole. Raises ServingError."""
        with self._told():
            async with self._opened.post(f"{self._server.url.rstrip('/')}{path}", json=body) as response:
                return parsed(await self._body(response))

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[tuple[float, dict[str, Any]], None]:
        """Yield the events of a streamed answer, each with `time.perf_counter()` when it was there whole. Raises ServingError."""
        events = Events()
        with self._told():
            async with self._opened.post(f"{self._server.url.rstrip('/')}{path}", json=body) as response:
                if response.status != 200:
                    await self._body(response)
                async for chunk in response.content.iter_any():
                    now = time.perf_counter()
                    for event in events.feed(chunk):
                        yield now, event
        events.end()

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        text = await response.read()
        if response.status == 200:
            return text
        try:
            said = words(parsed(text))
        except ServingError as error:
            said = str(error)
        raise ServingError(*_refusal(response.status, said), wait=_seconds(response.headers.get("Retry-After")))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever goes wrong on the way into a ServingError without a name in it."""
        import aiohttp

        try:
            yield
        except ServingError as error:
            raise ServingError(error.kind, self._without_key(str(error)), error.wait) from None
        except TimeoutError:
            raise ServingError("time-out", f"no whole answer within {self._server.timeout:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise ServingError(
                "unreachable", f"the endpoint cannot be reached ({error.os_error.strerror or type(error).__name__})"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServingError("dropped", f"the connection was dropped ({type(error).__name__})") from None

    def _without_key(self, text: str) -> str:
        return text.replace(self._server.key, "***") if self._server.key else text


def _refusal(status: int, said: str) -> tuple[str, str]:
    if status in _REFUSING:
        return "refused", f"the server is too busy (HTTP {status}): {said}"
    if status in (401, 403):
        return "unauthorized", f"the server wants another key (HTTP {status}); set ASSAY_ENDPOINT_KEY"
    if status == 404:
        return "not found", f"the server has no such path or model (HTTP 404): {said}"
    return ("rejected" if 400 <= status < 500 else "server error"), f"HTTP {status}: {said}"


def _seconds(header: str | None) -> float:
    """Return a Retry-After in seconds; a date, or nonsense, counts as a second."""
    if header is None:
        return 0.0
    return min(float(header), _LONGEST_WAIT) if header.strip().isdigit() else 1.0
