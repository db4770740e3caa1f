"""Where a case runs: `Device`, what every kind must offer, and how one is found by its name. Knows no kind by name and no case."""

import importlib
import math
import pkgutil
import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from harness.devices.energy import Meter
from harness.devices.refusals import says_out_of_memory, says_unsupported
from harness.errors import AssayError
from harness.serving.engine import Engine, Ids

#: The hardware of a device that cannot be seen from here, where nobody said what it is.
UNSTATED = "hardware unknown: nobody stated it"

_NAME = re.compile(r"([a-z][a-z0-9_]*)(?::(0|[1-9][0-9]{0,8}))?")

_DTYPES = (
    "float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "complex128", "complex64",
    "int64", "int32", "int16", "int8", "uint8", "bool",
)  # fmt: skip


@dataclass(frozen=True)
class Memory:
    """Bytes in use now and at most since `reset_peak_memory`; None where the device has no such figure.

    `allocated` is held by tensors and `reserved` by the framework's allocator on the device; `resident` is the whole
    process's resident set on the host.
    """

    allocated: int | None = None
    allocated_peak: int | None = None
    reserved: int | None = None
    reserved_peak: int | None = None
    resident: int | None = None
    resident_peak: int | None = None

    @property
    def peak(self) -> int:
        """The most that was in use: by tensors, where the framework counts them, or else by the process; 0 where neither is known."""
        return self.resident_peak or 0 if self.allocated_peak is None else self.allocated_peak

    def to_json(self) -> dict[str, int]:
        """Return the figures that there are."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Timer:
    """Times a block of work on a device: `seconds` is valid after the block, and not a number if the block raised.

    The device is synchronized before the block begins and after it ends. This one reads the host's monotonic clock.
    """

    def __init__(self, device: "Device") -> None:
        self.seconds = math.nan
        self._device = device
        self._begun = 0.0

    def __enter__(self) -> Self:
        self._device.synchronize()
        self._begun = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._device.synchronize()
            self.seconds = time.perf_counter() - self._begun


class Device(ABC):
    """One device of this machine. A new kind is a module in this package with a subclass that sets `kind` and `rank`.

    Kinds with a higher `rank` are preferred when the user names none.
    """

    kind: ClassVar[str]
    rank: ClassVar[int]

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def torch_device(self) -> torch.device:
        """The device as PyTorch names it."""
        return torch.device(self.name)

    @classmethod
    @abstractmethod
    def available(cls) -> list[str]:
        """Return the names of the devices of this kind on this machine. Never raises."""

    @classmethod
    @abstractmethod
    def why_not(cls) -> str:
        """Return in one line why there is no device of this kind and what would help; empty when there is one."""

    @classmethod
    def full_name(cls, index: int | None) -> str:
        """Return the name of the device that a user means by the kind alone (None) or with an index."""
        return cls.kind if index is None else f"{cls.kind}:{index}"

    @abstractmethod
    def hardware(self) -> str:
        """Return the product name."""

    @abstractmethod
    def memory_bytes(self) -> int:
        """Return how many bytes of memory the device has for a program."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the software between PyTorch and the device, as far as they can be found."""
        return {}

    @property
    def emulated(self) -> bool:
        """Whether something else stands in for the device, so that its numbers and times say nothing about it."""
        return False

    def describe(self) -> dict[str, Any]:
        """Return name, kind, hardware, memory_bytes, versions, dtypes and emulated, JSON-able.

        A dtype is listed if a 2x2 matrix product (floating and complex) or an addition (others) in it ran and was right.
        """
        return {
            "name": self.name, "kind": self.kind, "hardware": self.hardware(), "memory_bytes": self.memory_bytes(),
            "versions": self.versions(), "dtypes": list(_supported_dtypes(self.torch_device)), "emulated": self.emulated,
        }  # fmt: skip

    def seed(self, seed: int) -> None:
        """Seed the generators of Python, NumPy and PyTorch, on the host and on this device, with a non-negative integer."""
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed walks the stack, for devices that are not there yet

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all work given to the device is done."""

    @abstractmethod
    def memory(self) -> Memory:
        """Return what is in use now, and the peaks."""

    @abstractmethod
    def reset_peak_memory(self) -> None:
        """Let peaks begin at what is in use now."""

    @abstractmethod
    def empty_cache(self) -> None:
        """Give memory back that the framework holds but no tensor uses."""

    def timer(self) -> Timer:
        """Return a context manager whose `seconds` is the time of its block."""
        return Timer(self)

    def energy(self) -> Meter | None:
        """Return a context manager whose `joules` is the energy of its block; None: nothing reports it, or something stands in for it."""
        return None

    def deterministic(self, on: bool) -> None:
        """Demand (or no longer demand) deterministic algorithms; an operator that has none then raises RuntimeError.

        Switched on, it also keeps float32 products in float32 (no TF32, HF32 or bfloat16 inside); switched off, that stays.
        """
        torch.use_deterministic_algorithms(on, warn_only=False)
        if on:
            torch.set_float32_matmul_precision("highest")

    def fused(self, name: str) -> Callable[..., Any] | None:
        """Return this kind's own fused operator of that name; None: the kind has none, and composes it of PyTorch's operators.

        A kind that has such operators raises NotImplementedError for one that its library lacks.
        """
        return None

    def engine(self, text_of: Callable[[Ids], str]) -> Engine | None:
        """Return what itself continues and scores text, with a model that somebody else has loaded; None: a model has to be placed.

        `text_of` turns token ids into text.
        """
        return None

    def place(self, tensor: Tensor) -> Tensor:
        """Return the host tensor on the device, same shape, dtype and strides, in memory of its own."""
        return tensor.to(self.torch_device, copy=True)

    def to_host(self, tensor: Tensor) -> Tensor:
        """Return the tensor on the host, same shape and dtype, detached; on the CPU it shares its memory."""
        return tensor.detach().to("cpu")

    def unsupported(self, error: BaseException) -> bool:
        """Tell whether `error` is the device's or the framework's own word that it has no such operator or dtype."""
        return says_unsupported(error)

    def out_of_memory(self, error: BaseException) -> bool:
        """Tell whether `error` means that memory, of the device or of the host, did not suffice."""
        return says_out_of_memory(error)


@cache
def _supported_dtypes(device: torch.device) -> tuple[str, ...]:
    return tuple(name for name in _DTYPES if _computes(getattr(torch, name), device))


def _computes(dtype: torch.dtype, device: torch.device) -> bool:
    """Tell whether the device gives 1 * 1 + 1 * 1 (or, for integers, 1 + 1; for bool, true) in `dtype`."""
    try:
        ones = torch.ones(2, 2).to(dtype).to(device)
        result = ones @ ones if dtype.is_floating_point or dtype.is_complex else ones + ones
        host = result.to("cpu").to(torch.complex128)
    except (RuntimeError, TypeError):  # RuntimeError: not implemented; TypeError: the back end cannot hold such a tensor
        return False
    return bool((host == (1 if dtype == torch.bool else 2)).all())


@cache
def _kinds() -> dict[str, type[Device]]:
    """Return the kinds of device, best first: every class with a `kind` of its own in a module of this package."""
    package = __name__.rpartition(".")[0]
    found = []
    for module_info in pkgutil.iter_modules([str(Path(__file__).parent)]):
        module = importlib.import_module(f"{package}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Device) and value.__module__ == module.__name__ and "kind" in vars(value):
                found.append(value)
    return {kind.kind: kind for kind in sorted(found, key=lambda kind: -kind.rank)}


def available_devices() -> list[str]:
    """Return the names of all devices of this machine, best first. The CPU is always among them."""
    return [name for kind in _kinds().values() for name in kind.available()]


def open_device(name: str | None = None) -> Device:
    """Return the device of that name ("cpu", "cuda:0", "npu" for "npu:0"), by default the best one found.

    Raises AssayError, in one line that lists the devices that are there, when there is none of that name.
    """
    if name is None:
        name = available_devices()[0]
    match = _NAME.fullmatch(name)
    if match is None:
        raise _no_device(name, "is not a device name")
    kind = _kinds().get(match[1])
    if kind is None:
        raise _no_device(name, f"is of no known kind ({', '.join(_kinds())})")
    full = kind.full_name(None if match[2] is None else int(match[2]))
    if full not in kind.available():
        raise _no_device(name, kind.why_not() or "there is no such device")
    return kind(full)


def _no_device(name: str, why: str) -> AssayError:
    shown = name if name.isprintable() and 0 < len(name) <= 40 else repr(name[:40])
    return AssayError(f"device {shown}: {why}; available here: {', '.join(available_devices())}")
