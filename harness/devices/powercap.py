"""What the processor counts of its own energy: RAPL, through Linux' powercap tree. Knows no case and no other device."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.devices.energy import Counter

TREE = Path("/sys/class/powercap")

_NEW = 0.001  # seconds between updates (Intel, Software Developer's Manual, volume 3, section on RAPL interfaces)


class _Packages:
    """All packages together: joules since the first reading, whenever a counter has begun again."""

    def __init__(self, zones: Sequence[Path]) -> None:
        self._zones = zones
        self._ranges = [_joules(zone, "max_energy_range_uj") for zone in zones]
        self._last = [_joules(zone, "energy_uj") for zone in zones]
        self._total = 0.0

    def __call__(self) -> float:
        now = [_joules(zone, "energy_uj") for zone in self._zones]
        for one, last, whole in zip(now, self._last, self._ranges, strict=True):
            self._total += one - last if one >= last else one - last + whole
        self._last = now
        return self._total


def meter() -> Counter | None:
    """Return a meter of all packages together; None where there is no such counter, or none that this process may read."""
    zones = [zone for zone in sorted(TREE.glob("*-rapl:*")) if zone.name.count(":") == 1 and _package(zone)]
    with suppress(OSError, ValueError):
        return Counter("RAPL, whole processor", _NEW, _Packages(zones)) if zones else None
    return None


def _package(zone: Path) -> bool:
    with suppress(OSError):
        return (zone / "name").read_text().startswith("package")
    return False


def _joules(zone: Path, name: str) -> float:
    return int((zone / name).read_text()) / 1e6
