"""Huawei Ascend NPUs, through torch_npu, which only this module imports. Knows no other kind."""

import importlib
import importlib.util
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

from harness import environment
from harness.devices import dcmi
from harness.devices.accelerator import Accelerator, first_line
from harness.devices.energy import Meter
from harness.errors import AssayError

_DRIVER = Path("/usr/local/Ascend/driver/version.info")


class Npu(Accelerator):
    """An Ascend NPU under the name "npu:N"."""

    kind = "npu"
    # an emulated NPU is no better than any real accelerator, and only more interesting than the CPU that it runs on
    rank = 5 if environment.emulated() else 20

    @classmethod
    def backend(cls) -> Any:
        """Return `torch_npu.npu`. Raises AssayError, in one line, when torch_npu is absent or does not load."""
        module, why = _load()
        if module is None:
            raise AssayError(why)
        return module.npu

    @property
    def emulated(self) -> bool:
        """Whether the CANN runtime under torch_npu is a stand-in for it."""
        return environment.emulated()

    def versions(self) -> dict[str, str]:
        """Return the versions of torch_npu, of CANN and of the driver, as far as they can be found."""
        module, _ = _load()
        found = {"torch_npu": str(module.__version__), "cann": self._cann("CANN"), "driver": self._cann("DRIVER") or _driver_version()}
        if self.emulated:
            found |= {"cann": f"{found['cann']}, emulated", "driver": "", "seeded_faults": environment.seeded_faults()}
        return {name: value for name, value in found.items() if value}

    def _cann(self, part: str) -> str:
        """Return CANN's own word on the version of one of its parts; empty when it has none."""
        try:
            return str(self.backend().utils.get_cann_version(part) or "")
        except (AttributeError, RuntimeError):  # an older torch_npu; a CANN without the query
            return ""

    def fused(self, name: str) -> Callable[..., Any]:
        """Return torch_npu's operator of that name ("npu_rms_norm"). Raises NotImplementedError where this version has none."""
        module, _ = _load()
        operator = getattr(module, name, None)
        if operator is None:
            raise NotImplementedError(f"torch_npu {module.__version__} has no operator {name}")
        return cast(Callable[..., Any], operator)

    def energy(self) -> Meter | None:
        """Return a meter on the power that the driver tells; None where it tells none, and of an emulated device."""
        visible = environment.visible_npus()
        return None if self.emulated else dcmi.meter(visible[self.index] if self.index < len(visible) else self.index)

    def deterministic(self, on: bool) -> None:
        """Add what the matrix unit has: no HF32, the 19-bit format in which it may otherwise take float32 convolutions and products.

        torch_npu hands PyTorch's own switch on to CANN's operators; that of its collectives is HCCL_DETERMINISTIC.
        """
        super().deterministic(on)
        if on:
            for part in ("matmul", "conv"):
                if (switch := getattr(self.backend(), part, None)) is not None:
                    switch.allow_hf32 = False


@cache
def _load() -> tuple[Any, str]:
    """Return torch_npu and nothing, or None and why it is not there. A failed import is not tried twice: it leaves half a module behind."""
    if importlib.util.find_spec("torch_npu") is None:
        return None, 'torch_npu is not installed (pip install "ascend-assay[npu]")'
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what it replaces, on every import
            return importlib.import_module("torch_npu"), ""
    except (ImportError, RuntimeError, OSError) as error:
        return None, f"torch_npu does not load: {first_line(error)} (is CANN installed, and its set_env.sh sourced?)"


def _driver_version() -> str:
    """Return the version of the kernel driver, from where its installer writes it."""
    with suppress(OSError):
        match = re.search(r"^Version=(\S+)", _DRIVER.read_text(), re.MULTILINE)
        return match[1] if match else ""
    return ""
