"""The faults and the benign variants that there are, and how one is defined. Knows none of them by name.

    @fault("softmax-tail", "aten::_softmax", causes=(Cause.TAIL,), source="vllm-ascend 7460")
    def softmax_tail(right, self, dim, **_):
        ...

Every module below `suites/mutation/faults` and `suites/mutation/benign` is found by being there.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache

from harness.verdict import Cause
from suites.mutation.wrapper import Function, Mutant

_DEFINED: dict[str, Mutant] = {}


def fault(name: str, *operators: str, causes: tuple[Cause, ...], source: str) -> Callable[[Function], Function]:
    """Register the decorated function as a fault. `causes` are the one or two that an honest diagnosis may name."""
    if not 1 <= len(causes) <= 2:
        raise ValueError(f"fault {name}: one cause or two, not {len(causes)}")
    return _register(name, operators, source, causes)


def benign(name: str, *operators: str, source: str) -> Callable[[Function], Function]:
    """Register the decorated function as a benign variant; `source` says why it is legal."""
    return _register(name, operators, source, ())


def _register(name: str, operators: tuple[str, ...], source: str, causes: tuple[Cause, ...]) -> Callable[[Function], Function]:
    if not operators:
        raise ValueError(f"mutant {name} names no operator")

    def add(function: Function) -> Function:
        if name in _DEFINED:
            raise ValueError(f"mutant {name} is defined twice")
        _DEFINED[name] = Mutant(name, operators, function, source, causes)
        return function

    return add


@cache
def mutants() -> Mapping[str, Mutant]:
    """Return all mutants by name: the faults, then the benign variants."""
    for family in ("faults", "benign"):
        package = importlib.import_module(f"suites.mutation.{family}")
        for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")):
            importlib.import_module(module)
    return dict(sorted(_DEFINED.items(), key=lambda item: item[1].benign))


def faults() -> list[Mutant]:
    """Return the faults."""
    return [m for m in mutants().values() if not m.benign]


def benign_variants() -> list[Mutant]:
    """Return the benign variants."""
    return [m for m in mutants().values() if m.benign]
