"""An endpoint: an engine that serves a model behind an OpenAI-compatible HTTP API, on hardware that its owner states. Knows no case.

It has no torch device of its own: what a workload places lies on this host. What it computes on cannot be seen from here, so its hardware
is a statement and never a fact, and its memory is not known.
"""

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import torch

from harness import environment
from harness.devices.device import UNSTATED, Device, Memory
from harness.errors import AssayError
from harness.serving.engine import Engine, Ids, NotServed
from harness.serving.http import Server
from harness.serving.remote import Endpoint as Connected
from harness.serving.remote import connected

_TIMEOUT = 120.0  # seconds a request


class Endpoint(Device):
    """The endpoint that --endpoint names (ASSAY_ENDPOINT). Opening it asks what it serves; it is never chosen by itself."""

    kind = "endpoint"
    rank = -1

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._connected = _asked(**environment.endpoint())

    @cached_property
    def torch_device(self) -> torch.device:
        """The host: what is placed lies here."""
        return torch.device("cpu")

    @classmethod
    def available(cls) -> list[str]:
        """Return ["endpoint"] where one is named; whether it answers is seen when it is opened."""
        return ["endpoint"] if environment.endpoint() else []

    @classmethod
    def why_not(cls) -> str:
        """Say how to name one."""
        return "" if environment.endpoint() else "none is named; add --endpoint http://HOST:PORT/v1"

    @classmethod
    def full_name(cls, index: int | None) -> str:
        """Return "endpoint": there is one."""
        return cls.kind if index is None else f"{cls.kind}:{index}"

    def engine(self, text_of: Callable[[Ids], str]) -> Engine:
        """Return the engine behind it; `text_of` turns ids into text for a server that takes no ids."""
        return self._connected.spoken(text_of)

    def hardware(self) -> str:
        """Return what its owner says that it runs on."""
        return environment.endpoint().get("hardware") or UNSTATED

    def memory_bytes(self) -> int:
        """Return 0: not known."""
        return 0

    def describe(self) -> dict[str, Any]:
        """Return what `Device` does, and: that the hardware is a statement, the model served, and what the server's API lacks."""
        found = self._connected
        versions = {"engine": f"{found.engine} {found.version}".strip(), "model": found.model}
        return {
            "name": self.name, "kind": self.kind, "hardware": self.hardware(), "stated": self.hardware() != UNSTATED, "memory_bytes": 0,
            "dtypes": [], "emulated": False, "versions": {name: value for name, value in versions.items() if value}, "max_length":
            found.max_length, "lacks": found.dialect.lacks(), "scores_by": found.dialect.scores,
        }  # fmt: skip

    def synchronize(self) -> None:
        """Do nothing: an answer is there when it was read."""

    def memory(self) -> Memory:
        """Return nothing: not known."""
        return Memory()

    def reset_peak_memory(self) -> None:
        """Do nothing."""

    def empty_cache(self) -> None:
        """Do nothing."""

    def unsupported(self, error: BaseException) -> bool:
        """Tell whether the server's API lacks what was asked."""
        return isinstance(error, NotServed)


@cache
def _asked(url: str, model: str, hardware: str, timeout: str, key: str) -> Connected:
    """Ask an endpoint what it serves, once a process."""
    del hardware
    try:
        return connected(Server(url, float(timeout or _TIMEOUT), key), model)
    except (AssayError, ValueError) as error:
        raise AssayError(f"--endpoint: {error}") from None
