"""Load for a server: a closed loop of so many users, or an open loop of arrivals that wait for nobody. Knows no verdict and no case.

A request that fails is counted as it is and never sent again. A user who is refused waits as long as the server says before the next
request.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.inputs import draw_bits
from harness.serving.awaiting import awaited
from harness.serving.engine import Ids, ServingError
from harness.serving.http import Session
from harness.serving.remote import Remote


@dataclass(frozen=True)
class Phase:
    """`requests` requests: of `users` at a time, or, without users, arriving at `rate` a second at random (Poisson)."""

    requests: int
    users: int = 0
    rate: float = math.inf

    def arrivals(self, seed: int) -> np.ndarray:
        """Return when requests arrive, seconds from the beginning, float64 [requests]: independent exponential gaps, drawn by seed."""
        share = (draw_bits(seed, "arrivals", self.requests) >> np.uint64(11)).astype(np.float64) / 2.0**53
        return np.cumsum(-np.log1p(-share)) / self.rate


@dataclass(frozen=True)
class Asked:
    """One request: which prompt, when it was due, sent and over (seconds since the phase began), each token's arrival, or how it failed."""

    prompt: int
    scheduled: float
    sent: float
    ended: float
    token_at: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    count: int = 0
    failure: str = ""
    message: str = ""


def run(remote: Remote, prompts: Sequence[Ids], phase: Phase, new_tokens: int, seed: int) -> list[Asked]:
    """Send the requests of a phase, prompts in turn, and return them in the order in which they were due."""
    one = _One(remote, prompts, new_tokens)
    found = awaited(_closed(one, phase) if phase.users else _open(one, phase.arrivals(seed)))
    return sorted(found, key=lambda asked: asked.scheduled)


@dataclass
class _One:
    remote: Remote
    prompts: Sequence[Ids]
    new_tokens: int
    begun: float = 0.0

    def now(self) -> float:
        return time.perf_counter() - self.begun

    async def ask(self, session: Session, number: int, scheduled: float | None = None) -> tuple[Asked, float]:
        """Send request `number`; return it, and how long the server asks to be left alone."""
        prompt, sent = number % len(self.prompts), self.now()
        due = sent if scheduled is None else scheduled
        try:
            found = await self.remote.continued(session, self.prompts[prompt], self.new_tokens)
        except ServingError as error:
            return Asked(prompt, due, sent, self.now(), failure=error.kind, message=str(error)), error.wait
        arrived = tuple(sent + seconds for seconds in found.seconds)
        return Asked(prompt, due, sent, arrived[-1] if arrived else self.now(), arrived, found.tokens, found.count), 0.0


async def _closed(one: _One, phase: Phase) -> list[Asked]:
    numbers, found = iter(range(phase.requests)), list[Asked]()

    async def user(session: Session) -> None:
        for number in numbers:
            asked, wait = await one.ask(session, number)
            found.append(asked)
            await asyncio.sleep(wait)

    async with one.remote.endpoint.server.session() as session:
        one.begun = time.perf_counter()
        await asyncio.gather(*(user(session) for _ in range(phase.users)))
    return found


async def _open(one: _One, arrivals: np.ndarray) -> list[Asked]:
    async with one.remote.endpoint.server.session() as session:
        one.begun = time.perf_counter()
        tasks = []
        for number, due in enumerate(arrivals.tolist()):
            await asyncio.sleep(max(0.0, due - one.now()))
            tasks.append(asyncio.ensure_future(one.ask(session, number, due)))
        return [asked for asked, _ in await asyncio.gather(*tasks)]
