"""How a seeded fault is defined and switched on. Knows no fault: the catalogue is faults.py, and any file of your own.

    @fault("softmax-tail", "aclnnSoftmax", kind="shape", source="https://...")
    def softmax_tail(right, self, dim, out):
        ...

`right` computes as it should; what is returned takes its result's place. A fault of the runtime names a switch of the C side instead.
"""

import ctypes
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A way to be wrong that was reported of a real device: where it strikes, on what it depends, and who reported it."""

    name: str
    operators: tuple[str, ...]
    kind: str
    source: str
    function: Callable[..., Any]
    switch: str = ""


#: Every fault that can be switched on, by name.
FAULTS: dict[str, Fault] = {}


def fault(name: str, *operators: str, kind: str, source: str, switch: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as a fault of these operators (full names), or of a `switch` of the C side (an exported int)."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        if name in FAULTS:
            raise ValueError(f"fault {name} is defined twice")
        FAULTS[name] = Fault(name, operators, kind, source, function, switch)
        return function

    return register


def active() -> list[Fault]:
    """Return the faults that ASSAY_EMULATOR_FAULTS names, after loading ASSAY_EMULATOR_FAULTS_FILE.

    Raises SystemExit in one line: a name that no fault bears, a file that is not there. A misspelt fault must not pass for a caught one.
    """
    if path := os.environ.get("ASSAY_EMULATOR_FAULTS_FILE"):
        _load(Path(path).expanduser())
    names = [name.strip() for name in os.environ.get("ASSAY_EMULATOR_FAULTS", "").split(",") if name.strip()]
    if unknown := [name for name in names if name not in FAULTS]:
        raise SystemExit(f"emulator: ASSAY_EMULATOR_FAULTS: no fault is called {unknown[0]}; there are: {', '.join(sorted(FAULTS))}")
    return [FAULTS[name] for name in names]


def _load(path: Path) -> None:
    spec = importlib.util.spec_from_file_location("assay_faults_file", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"emulator: ASSAY_EMULATOR_FAULTS_FILE: {path} is no Python file")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def seeded(name: str, function: Callable[..., Any], faults: list[Fault]) -> Callable[..., Any]:
    """Return `function`, wrapped in those of `faults` that strike the operator `name`."""
    for one in faults:
        if name in one.operators:
            function = partial(one.function, function)
    return function


def switch_on(library: ctypes.CDLL, faults: list[Fault]) -> None:
    """Set the switches of the C side that `faults` name."""
    for one in faults:
        if one.switch:
            ctypes.c_int.in_dll(library, one.switch).value = 1
