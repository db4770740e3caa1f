"""The CPU: memory is the process's resident set, time is the host's clock. Knows no other kind."""

import sys
from contextlib import suppress
from pathlib import Path

import psutil

from harness import environment
from harness.devices import powercap
from harness.devices.device import Device, Memory
from harness.devices.energy import Meter

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class Cpu(Device):
    """The processor of this machine, all cores together, under the name "cpu"."""

    kind = "cpu"
    rank = 0

    @classmethod
    def available(cls) -> list[str]:
        """Return ["cpu"]: there always is one."""
        return ["cpu"]

    @classmethod
    def why_not(cls) -> str:
        """Return nothing: there always is one."""
        return ""

    def hardware(self) -> str:
        """Return the processor's model name."""
        return environment.cpu_model()

    def memory_bytes(self) -> int:
        """Return the memory that this process may use, in bytes."""
        return environment.memory_bytes()

    def synchronize(self) -> None:
        """Do nothing: an operator has finished when it returns."""

    def memory(self) -> Memory:
        """Return the resident set of this process and its peak, in bytes; the framework itself counts nothing on the CPU.

        Without /proc the peak is the system's own figure since the process began.
        """
        resident = int(psutil.Process().memory_info().rss)
        return Memory(resident=resident, resident_peak=max(resident, _peak()))

    def reset_peak_memory(self) -> None:
        """Let the peak begin at the present resident set. Only Linux can; elsewhere, or where it is forbidden, the peak stays."""
        with suppress(OSError):
            _CLEAR_REFS.write_text("5")

    def energy(self) -> Meter | None:
        """Return a meter of the whole processor, where Linux lets this process read one (its administrator alone, by default)."""
        return powercap.meter()

    def empty_cache(self) -> None:
        """Do nothing: the framework keeps no cache on the CPU."""


def _peak() -> int:
    """Return the greatest resident set in bytes: VmHWM of /proc/self/status, or ru_maxrss where there is none."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # here: not every system has it

    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
