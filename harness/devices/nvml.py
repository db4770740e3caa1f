"""What an NVIDIA GPU counts of its energy (Volta and later), through NVML and nvidia-ml-py. Knows no case and no other device."""

import importlib
from typing import Any

from harness.devices.energy import Counter

_NEW = 0.1  # seconds: the counter is new 10 to 50 times a second, depending on the architecture; this is the slowest


def meter(uuid: str) -> Counter | None:
    """Return a meter of the GPU of that UUID; None without nvidia-ml-py, its driver, or such a counter."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        read = _Reader(nvml, nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"))
        read()
    except (OSError, nvml.NVMLError):
        return None
    return Counter("NVML, energy counter", _NEW, read)


class _Reader:
    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    def __call__(self) -> float:
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000  # from millijoules
        except self._nvml.NVMLError as error:
            raise OSError(f"NVML: {error}") from error
