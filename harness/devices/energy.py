"""How many joules a block of work took: a counter read at both ends, or power sampled meanwhile. Knows no device and no case.

What is metered is the whole device (of a CPU its whole package), whoever works on it, idle power included. Where a device reports nothing
there is no meter, and nothing is estimated in its place.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self


class Meter(ABC):
    """Meters a block: `joules` is valid after it. `source` says who reports it, `interval` how often its figure is new, in seconds.

    Beginning and ending raise OSError or ValueError where the device tells nothing any more.
    """

    source: str
    interval: float
    joules: float = float("nan")

    @abstractmethod
    def __enter__(self) -> Self:
        """Begin."""

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End, whether the block raised or not."""

    def told(self) -> dict[str, Any]:
        """Return who reports it, how, and how often, JSON-able."""
        return {"source": self.source, "interval": self.interval}


class Counter(Meter):
    """Of a device that counts joules: `read` returns them since any moment."""

    def __init__(self, source: str, interval: float, read: Callable[[], float]) -> None:
        self.source, self.interval, self._read = source, interval, read
        self._begun = 0.0

    def __enter__(self) -> Self:
        self._begun = self._read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.joules = self._read() - self._begun


class Sampled(Meter):
    """Of a device that tells its power: `read` returns watts; samples every `interval` seconds are joined by straight lines."""

    def __init__(self, source: str, interval: float, read: Callable[[], float], now: Callable[[], float] = time.monotonic) -> None:
        self.source, self.interval, self._read, self._now = f"{source}, power sampled", interval, read, now
        self._samples: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread()

    def __enter__(self) -> Self:
        self._samples, self._over = [], threading.Event()
        self._sample()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._sample()
        pairs = zip(self._samples, self._samples[1:], strict=False)
        self.joules = sum((t1 - t0) * (w0 + w1) / 2 for (t0, w0), (t1, w1) in pairs)

    def _sample(self) -> None:
        self._samples.append((self._now(), self._read()))

    def _go_on(self) -> None:
        while not self._over.wait(self.interval):
            with suppress(OSError, ValueError):  # one sample less; at the end of the block it is told
                self._sample()
