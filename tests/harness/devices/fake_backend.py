"""A stand-in for `torch.cuda` that writes down what it is asked, and a device of its own kind on top."""

from types import SimpleNamespace
from typing import Any, ClassVar

from harness.devices.accelerator import Accelerator


class FakeBackend:
    """Two devices; every call is appended to `calls`; 12.5 ms lie between any two events."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.count = 2
        self.matmul, self.conv = SimpleNamespace(allow_hf32=True), SimpleNamespace(allow_hf32=True)
        self.utils = SimpleNamespace(get_cann_version=lambda part: {"CANN": "9.1.0", "DRIVER": ""}[part])
        backend = self

        class Event:
            made = 0

            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing
                Event.made += 1
                self.number = Event.made

            def record(self) -> None:
                backend.calls.append(("record", self.number))

            def elapsed_time(self, end: "Event") -> float:
                backend.calls.append(("elapsed_time", self.number, end.number))
                return 12.5

        self.Event = Event

    def device_count(self) -> int:
        return self.count

    def get_device_properties(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(total_memory=64 * 2**30 + index)

    def get_device_name(self, index: int) -> str:
        return f"Fake {index}"

    def __getattr__(self, name: str) -> Any:
        figures = {"memory_allocated": 1, "max_memory_allocated": 2, "memory_reserved": 3, "max_memory_reserved": 4}

        def call(*arguments: Any) -> int | None:
            self.calls.append((name, *arguments))
            return figures.get(name)

        return call


class FakeAccelerator(Accelerator):
    """Devices "fake:0" and "fake:1"; tensors stay on the CPU."""

    kind = "fake"
    rank = 5
    module: ClassVar[Any] = None

    @classmethod
    def backend(cls) -> Any:
        return cls.module
