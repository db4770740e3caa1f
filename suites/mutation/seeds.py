"""How a fault of training code is seeded: a line of source edited, or an attribute replaced, for as long as it lasts. Knows no fault.

Ports go wrong in a line: a transposition, a mask, a factor that is left out. `edited` makes just that edit in a function, wherever it has
been imported to and whatever decorates it, and takes it back.
"""

import __future__

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import FunctionType
from typing import Any

from harness.errors import AssayError
from harness.verdict import Cause

Change = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Seed:
    """A fault of training code (it has causes, one or two that an honest diagnosis may name), or a benign variant of it.

    It is put to the invariants of `family` in the modules `themes` of `suites.workloads.invariants`, and to stages that they name.
    `source` says why a variant is legal, and of a fault where such a one was reported: owner/repository#number, arXiv number or address,
    or "no report known, a plausible slip".
    """

    name: str
    family: str
    themes: tuple[str, ...]
    change: Change
    source: str
    causes: tuple[Cause, ...] = ()

    @property
    def benign(self) -> bool:
        """Whether it must not alarm."""
        return not self.causes


def edited(where: str, **lines: tuple[str, str]) -> Change:
    """Return what edits the source of the function `module:qualified.name`; each of `lines` is what stands there, and what shall.

    Raises AssayError when something does not stand there just once: another version of the library is installed.
    """

    @contextmanager
    def change() -> Iterator[None]:
        function = _function(where)
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in lines.values():
            if source.count(old) != 1:
                raise AssayError(f"{where}: {old!r} stands there {source.count(old)} times; this fault is for another version of that code")
            source = source.replace(old, new)
        begin = next(i for i, line in enumerate(source.splitlines()) if line.startswith("def "))  # decorators stay those that are there
        made: dict[str, Any] = {}
        unevaluated = __future__.annotations.compiler_flag  # what is imported for annotations only is not there
        code = compile("\n".join(source.splitlines()[begin:]), f"<{where}, edited>", "exec", flags=unevaluated)
        exec(code, dict(function.__globals__), made)
        right = function.__code__
        try:
            function.__code__ = made[function.__name__].__code__
            yield
        finally:
            function.__code__ = right

    return change


def replaced(where: str, make: Callable[[Any], Any]) -> Change:
    """Return what replaces the attribute `module:qualified.name` by what `make` returns for it."""

    @contextmanager
    def change() -> Iterator[None]:
        owner, name = _owner(where)
        static = inspect.getattr_static(owner, name, None) if not isinstance(owner, Mapping) else None
        right = owner[name] if isinstance(owner, dict) else getattr(owner, name)
        _set(owner, name, make(right))
        try:
            yield
        finally:
            _set(owner, name, right if isinstance(owner, dict) or static is None else static)

    return change


def _set(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


def _owner(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    owner: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return owner, name


def _function(where: str) -> FunctionType:
    owner, name = _owner(where)
    function = inspect.unwrap(inspect.getattr_static(owner, name) if isinstance(owner, type) else getattr(owner, name))
    function = getattr(function, "__func__", function)  # of a static method
    if not isinstance(function, FunctionType):
        raise AssayError(f"{where}: is no function with source that could be edited")
    return function


def fault(name: str, family: str, themes: str, causes: tuple[Cause, ...], source: str, change: Change) -> Seed:
    """Return a fault; `themes` are separated by spaces. Raises ValueError unless it has one cause or two."""
    if not 1 <= len(causes) <= 2:
        raise ValueError(f"fault {name}: one cause or two, not {len(causes)}")
    return Seed(name, family, tuple(themes.split()), change, source, causes)


def benign(name: str, family: str, themes: tuple[str, ...], source: str, change: Change) -> Seed:
    """Return a benign variant; `source` says why it is legal."""
    return Seed(name, family, themes, change, source)
