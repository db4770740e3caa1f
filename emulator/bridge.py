"""What the C side loads when the first device is used: it registers every operator, faults included. Knows no operator."""

import atexit
import ctypes
import importlib
import itertools
import json
import os
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from emulator import fault, ops
from emulator.operator import CALLS, OPERATORS, entry

# struct Statistics of cann.h, field by field
_COUNTED = (
    "operators", "collectives", "copies_in", "copies_out", "copies_out_of_operators", "copies_out_of_copies", "copies_out_unwritten",
)  # fmt: skip


class _Statistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_longlong) for name in _COUNTED]


def library() -> ctypes.PyDLL:
    """Return the stand-in that this process has loaded. Raises OSError where it is not on the library path."""
    return ctypes.PyDLL("libascendcl.so")


def load() -> None:
    """Import every family of operators, the collectives and the catalogue of faults."""
    for name in ("collectives", "faults"):
        importlib.import_module(f"emulator.{name}")
    for module in pkgutil.iter_modules(ops.__path__):
        importlib.import_module(f"{ops.__name__}.{module.name}")


def install() -> Callable[[Any], torch.Tensor]:
    """Register every operator with the C side; return PyTorch's converter from DLPack, which it makes tensors with."""
    load()
    seeds = fault.active()
    for seed in seeds:
        if missing := set(seed.operators) - set(OPERATORS):
            raise SystemExit(f"emulator: fault {seed.name}: operator {min(missing)} is not emulated, so the fault could not strike")
    fault.switch_on(library(), seeds)
    register = library().assay_register
    register.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.py_object]
    for operator in OPERATORS.values():
        function = fault.seeded(operator.name, operator.function, seeds)
        register(operator.name.encode(), operator.signature.encode(), entry(operator, function))
    if path := os.environ.get("ASSAY_EMULATOR_COUNTERS"):
        atexit.register(lambda: Path(f"{path}.{os.getpid()}.json").write_text(json.dumps(counters()), encoding="utf-8"))
    return torch._C._from_dlpack


def counters() -> dict[str, Any]:
    """Return what has run and what was refused, by operator, and how many copies to the host were of what an operator had written."""
    function = library().assay_statistics
    function.restype = ctypes.POINTER(_Statistics)
    found = function().contents
    return {**{name: getattr(found, name) for name in _COUNTED}, "calls": dict(CALLS), "refused": list(_refused())}


def _refused() -> Iterator[str]:
    """Yield the names of operators that were called and are not emulated."""
    function = library().assay_refused
    function.restype = ctypes.c_char_p
    for at in itertools.count():
        if (name := function(at)) is None:
            return
        yield name.decode()
