"""A stream of server-sent events, read strictly: each event is JSON, the last is [DONE]. Knows no socket and no engine.

Lines end at a line feed alone (or CR LF): JSON may hold U+2028 and U+0085 as they are, at which `str.splitlines` would cut. A chunk
may hold several tokens, or none; tokens are counted by their ids, or by the usage that the server states at the end, never by chunks.
"""

import json
from collections.abc import Mapping
from typing import Any

from harness.serving.engine import ServingError

_SHOWN = 80  # characters of a broken line that an error quotes
_DONE = "[DONE]"


class Events:
    """Turns bytes as they arrive into JSON objects."""

    def __init__(self) -> None:
        self._rest, self._data = b"", list[str]()
        self.done = False

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Return the events that are complete now. Raises ServingError: no JSON object, or anything after [DONE]."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = []
        for line in lines:
            event = self._line(line.removesuffix(b"\r"))
            if event is not None:
                found.append(event)
        return found

    def end(self) -> None:
        """Say that no more will come. Raises ServingError where the stream had not ended by itself."""
        if not self.done:
            raise ServingError("dropped", "the stream ended without [DONE]: the connection was dropped, or the server gave up")

    def _line(self, line: bytes) -> dict[str, Any] | None:
        if line:
            name, _, value = _text(line).partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            return None  # comments, event names and retry times say nothing here
        if not self._data:
            return None
        text, self._data = "\n".join(self._data), []
        if self.done:
            raise ServingError("malformed", f"the server sent more after [DONE]: {text[:_SHOWN]!r}")
        if text == _DONE:
            self.done = True
            return None
        return parsed(text)


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ServingError("malformed", f"a line of the stream is no UTF-8 ({error.reason}): {line[:_SHOWN]!r}") from error


def parsed(text: str | bytes) -> dict[str, Any]:
    """Return a JSON object. Raises ServingError: malformed, or the server's own error inside a good answer."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ServingError("malformed", f"the server sent no JSON ({error}): {text[:_SHOWN]!r}") from error
    if not isinstance(found, dict):
        raise ServingError("malformed", f"the server sent {text[:_SHOWN]!r} where an object is due")
    if found.get("error"):
        raise ServingError("server error", f"the server says: {words(found)}")
    return found


def words(answer: Mapping[str, Any]) -> str:
    """Return a server's error in one short line."""
    error = answer.get("error", answer)
    text = error.get("message", error) if isinstance(error, Mapping) else error
    return " ".join(str(text).split())[:300]
