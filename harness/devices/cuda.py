"""NVIDIA GPUs, through `torch.cuda`. Knows no other kind."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from harness.devices import nvml
from harness.devices.accelerator import Accelerator
from harness.devices.energy import Meter

_DRIVER = Path("/proc/driver/nvidia/version")


class Cuda(Accelerator):
    """A GPU under the name "cuda:N"."""

    kind = "cuda"
    rank = 10

    @classmethod
    def backend(cls) -> Any:
        """Return `torch.cuda`, which is always there, if perhaps without any device."""
        return torch.cuda

    @classmethod
    def reason_for_none(cls) -> str:
        """Return whether it is PyTorch or the machine that lacks it."""
        if torch.version.cuda is None:
            return f"this PyTorch ({torch.__version__}) is built without CUDA"
        return super().reason_for_none()

    def versions(self) -> dict[str, str]:
        """Return the versions of CUDA, cuDNN and the driver, and the compute capability."""
        major, minor = torch.cuda.get_device_capability(self.index)
        cudnn: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        found = {"cuda": torch.version.cuda, "cudnn": cudnn, "driver": _driver_version(), "compute_capability": f"{major}.{minor}"}
        return {name: str(value) for name, value in found.items() if value is not None}

    def energy(self) -> Meter | None:
        """Return a meter on NVML's counter (Volta and later), where nvidia-ml-py is installed."""
        return nvml.meter(str(torch.cuda.get_device_properties(self.index).uuid))

    def deterministic(self, on: bool) -> None:
        """Add what cuDNN and cuBLAS have: no search for the fastest algorithm, and no TF32."""
        super().deterministic(on)
        torch.backends.cudnn.deterministic = on
        torch.backends.cudnn.benchmark = False
        if on:
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False


def _driver_version() -> str | None:
    """Return the version of NVIDIA's kernel driver, or None where /proc does not tell."""
    with suppress(OSError):
        # NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024
        match = re.search(r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", _DRIVER.read_text(), re.MULTILINE)
        return match[1] if match else None
    return None
