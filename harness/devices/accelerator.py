"""What devices with a back end like `torch.cuda` have in common: `torch.npu` mirrors it. Knows neither CUDA nor CANN."""

import warnings
from abc import abstractmethod
from types import TracebackType
from typing import Any, Self

from harness.devices.device import Device, Memory, Timer
from harness.errors import AssayError


class Accelerator(Device):
    """A numbered device behind a back-end module. It is the back end's current device from the moment it is opened."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.index = int(name.rpartition(":")[2])
        try:
            self.backend().set_device(self.index)
        except RuntimeError as error:
            raise AssayError(f"device {name}: cannot be opened: {first_line(error)}") from error

    @classmethod
    @abstractmethod
    def backend(cls) -> Any:
        """Return the module with the functions of `torch.cuda`. Raises AssayError, in one line, when it cannot be loaded."""

    @classmethod
    def reason_for_none(cls) -> str:
        """Return why a back end that loads finds no device."""
        return f"no {cls.kind} device is visible to this process"

    @classmethod
    def _count(cls) -> tuple[int, str]:
        """Return how many devices there are and, if none, why."""
        with warnings.catch_warnings(record=True) as caught:  # a broken driver is reported as a warning
            warnings.simplefilter("always")
            try:
                count = int(cls.backend().device_count())
            except (AssayError, RuntimeError, OSError) as error:
                return 0, first_line(error)
        if count > 0:
            return count, ""
        return 0, first_line(caught[-1].message) if caught else cls.reason_for_none()

    @classmethod
    def available(cls) -> list[str]:
        """Return the names of all devices of this kind. Never raises."""
        return [cls.full_name(index) for index in range(cls._count()[0])]

    @classmethod
    def why_not(cls) -> str:
        """Return the first line of what the back end says when there is no device; empty when there is one."""
        return cls._count()[1]

    @classmethod
    def full_name(cls, index: int | None) -> str:
        """Return the kind with the index; the kind alone means the first device."""
        return f"{cls.kind}:{index or 0}"

    def hardware(self) -> str:
        """Return the product name, as the back end has it."""
        return str(self.backend().get_device_name(self.index))

    def memory_bytes(self) -> int:
        """Return the device's memory in bytes."""
        return int(self.backend().get_device_properties(self.index).total_memory)

    def seed(self, seed: int) -> None:
        """Seed the host's generators and those of all devices of this kind."""
        super().seed(seed)
        self.backend().manual_seed_all(seed)

    def synchronize(self) -> None:
        """Wait until all streams of this device are done."""
        self.backend().synchronize(self.index)

    def memory(self) -> Memory:
        """Return what tensors hold (allocated) and what the caching allocator holds (reserved), now and at most, in bytes."""
        backend = self.backend()
        return Memory(
            allocated=int(backend.memory_allocated(self.index)),
            allocated_peak=int(backend.max_memory_allocated(self.index)),
            reserved=int(backend.memory_reserved(self.index)),
            reserved_peak=int(backend.max_memory_reserved(self.index)),
        )

    def reset_peak_memory(self) -> None:
        """Let both peaks begin at what is in use now."""
        self.backend().reset_peak_memory_stats(self.index)

    def empty_cache(self) -> None:
        """Give unused blocks of the caching allocator back to the driver."""
        self.backend().empty_cache()

    def timer(self) -> Timer:
        """Return a timer on device events."""
        return EventTimer(self, self.backend())


class EventTimer(Timer):
    """Times a block between two events on the device's current stream, by the device's own clock.

    Work that the block leaves on other streams is waited for, but counted only as far as the current stream waits for it.
    """

    def __init__(self, device: Accelerator, backend: Any) -> None:
        super().__init__(device)
        self._start, self._end = backend.Event(enable_timing=True), backend.Event(enable_timing=True)

    def __enter__(self) -> Self:
        self._device.synchronize()
        self._start.record()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._end.record()
            self._device.synchronize()
            self.seconds = float(self._start.elapsed_time(self._end)) / 1000.0  # elapsed_time is in milliseconds


def first_line(error: object) -> str:
    """Return the first line of an error's text that says something, or the error's type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
