"""What continues and scores sequences of token ids: `Engine`, in this process or behind HTTP. Knows neither.

Log-probabilities are natural ones of the model's own distribution, before any temperature; seconds are of the host's monotonic clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from harness.errors import AssayError

Ids = Sequence[int]
Message = Mapping[str, str]  # role and content of a turn of a conversation


class ServingError(AssayError):
    """A request that did not end as it must. `kind` is what it is counted as; `wait` the seconds that a refusing server asks for."""

    def __init__(self, kind: str, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.kind, self.wait = kind, wait


class NotServed(ServingError):
    """The server's API has no such thing: no fault of the engine, and no result either."""

    def __init__(self, message: str) -> None:
        super().__init__("not served", message)


@dataclass(frozen=True)
class Scored:
    """What an engine says of each token of a text but the first: its log-probability, and whether none was likelier."""

    logprobs: tuple[float, ...]
    greedy: tuple[bool, ...]  # empty where it is not told


@dataclass(frozen=True)
class Continuation:
    """Greedy tokens after a prompt. `tokens` and `logprobs` are empty where the server does not tell them; `count` is always known.

    `seconds` is the arrival of each token since the request was sent (several in one chunk arrive together); empty where nobody took it.
    `best` int64 [tokens, k] and `best_logprobs` float [tokens, k] are the likeliest ids at each step, where the engine gives them.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    count: int
    seconds: tuple[float, ...] = ()
    best: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64))
    best_logprobs: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))


@dataclass(frozen=True)
class Read:
    """How an engine has read a prompt that was text: how many tokens, and which, where it tells."""

    count: int
    ids: tuple[int, ...] = ()


class Engine(Protocol):
    """Anything that continues and scores. All methods raise ServingError, and NotServed where the engine's API lacks the question."""

    def score(self, prompts: Sequence[Ids], *, together: bool = False) -> list[Scored]:
        """Return the log-probabilities of each given text of at least two tokens, one after the other or many at a time."""
        ...

    def generate(self, prompts: Sequence[Ids], new_tokens: int, *, together: bool = False, to_the_end: bool = False) -> list[Continuation]:
        """Continue each prompt greedily by `new_tokens`, in turn or all at a time; `to_the_end`: end-of-text ends it earlier."""
        ...

    def read(self, texts: Sequence[str], conversations: Sequence[Sequence[Message]]) -> list[Read]:
        """Return how texts, and then conversations by the chat template, are turned into tokens."""
        ...
