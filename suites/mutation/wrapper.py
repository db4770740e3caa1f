"""Replaces what named ATen operators return, forward and backward, on any device. Knows no fault, no case and no judgement.

A function is called with the operator's arguments by their names in the schema, defaults filled in. `right()` is the result as it should
be, `right(self=other)` the result with an argument replaced; neither comes back here. What the function returns takes its place. In-place
and `out=` variants of an operator are served by the same function: what it returns is written where the operator would have written.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from harness.case import Case, Step
from harness.dispatch import Dispatch
from harness.inputs import Inputs
from harness.verdict import Cause

Function = Callable[..., Any]
_RAISED = (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError, ArithmeticError, StopIteration)


@dataclass(frozen=True)
class Mutant:
    """A change to what some operators return: a fault (it has causes, one or two that an honest diagnosis may name) or a benign variant.

    `operators` are names as in "aten::sum" (every overload, in-place and `out=` as well) or "aten::sum.dim_IntList" (this one only).
    `source` says who reported such a fault, or why the variant is legal.
    """

    name: str
    operators: tuple[str, ...]
    function: Function
    source: str
    causes: tuple[Cause, ...] = ()

    @property
    def benign(self) -> bool:
        """Whether it must not alarm."""
        return not self.causes

    def strikes(self, operator: str) -> bool:
        """Tell whether it replaces the operator of that full name, such as "aten::sum.dim_IntList" or "aten::add_.Tensor"."""
        whole, _, overload = operator.partition(".")
        plain = whole.removesuffix("_")
        return operator in self.operators or whole in self.operators or plain in self.operators or f"{plain}.{overload}" in self.operators


@dataclass(frozen=True)
class Right:
    """The operator as it should be, with the arguments of this call; `state` lasts as long as the mutant is on."""

    operator: str
    arguments: Mapping[str, Any]
    state: dict[Any, Any]
    function: Function

    def __call__(self, /, **replaced: Any) -> Any:
        """Return the right result, of fresh memory, with some arguments replaced."""
        return self.function(**{**self.arguments, **replaced})

    def count(self) -> int:
        """Return how often this has been asked while the mutant is on, beginning with 1."""
        self.state["calls"] = self.state.get("calls", 0) + 1
        return int(self.state["calls"])


class Seeded(Dispatch):
    """While it is entered, the operators of one mutant return what the mutant says.

    `seen` counts the calls of every operator, `struck` those that the mutant replaced, `stumbled` those at which its function raised
    although the operator does not: the right result is then given, so that a defect of a mutant never passes for a caught fault.
    What is computed inside a mutant does not come here again: PyTorch leaves a mode while it serves it.
    """

    def __init__(self, mutant: Mutant | None) -> None:
        super().__init__()
        self.mutant = mutant
        self.seen: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self.stumbled: Counter[str] = Counter()
        self._state: dict[Any, Any] = {}

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Serve one call of one operator."""
        given = dict(kwargs or {})
        name = func.name()
        self.seen[name] += 1
        if self.mutant is None or not self.mutant.strikes(name):
            return func(*args, **given)
        try:
            result = _serve(self.mutant, func, {**_defaults(func), **dict(zip(_names(func), args, strict=False)), **given}, self._state)
        except _RAISED as error:
            right = func(*args, **given)  # raises as well, if the arguments are at fault
            self.stumbled[f"{name}: {type(error).__name__}: {error}"[:200]] += 1
            return right
        self.struck[name] += 1
        return result


@functools.cache
def _names(func: Any) -> tuple[str, ...]:
    return tuple(a.name for a in func._schema.arguments)


@functools.cache
def _written(func: Any) -> tuple[str, ...]:
    return tuple(a.name for a in func._schema.arguments if a.is_out)


@functools.cache
def _defaults(func: Any) -> dict[str, Any]:
    return {a.name: a.default_value for a in func._schema.arguments if a.has_default_value()}


def _serve(mutant: Mutant, func: Any, arguments: dict[str, Any], state: dict[Any, Any]) -> Any:
    """Call the mutant's function; give it a pure operator where the real one writes to `self` or to `out`."""
    name = func.name()
    whole = func._schema.name
    exact = name in mutant.operators or whole in mutant.operators  # it asked for the in-place operator itself
    first = arguments.get(next(iter(_names(func)), ""))
    if name.endswith("out") and _written(func) == ("out",) and isinstance(arguments["out"], Tensor):
        out = arguments.pop("out")
        pure = _with_fresh_out(func, out)
        result = mutant.function(Right(name, arguments, state, pure), **arguments)
        return out.resize_(result.shape).copy_(result)
    if not exact and whole.endswith("_") and isinstance(first, Tensor):
        pure = _on_a_copy(func, _names(func)[0])
        result = mutant.function(Right(name, arguments, state, pure), **arguments)
        return first.copy_(result)
    return mutant.function(Right(name, arguments, state, func), **arguments)


def _with_fresh_out(func: Any, out: Tensor) -> Function:
    def pure(**arguments: Any) -> Any:
        wide = out.is_floating_point() and any(isinstance(a, Tensor) and a.dtype == torch.float64 for a in arguments.values())
        return func(**arguments, out=torch.empty(0, dtype=torch.float64 if wide else out.dtype, device=out.device))

    return pure


def _on_a_copy(func: Any, first: str) -> Function:
    def pure(**arguments: Any) -> Any:
        return func(**{**arguments, first: arguments[first].clone()})

    return pure


def seeded(case: Case, mode: Seeded) -> Case:
    """Return the case with the same definition, whose step runs under `mode`; inputs are drawn, and placed, outside of it."""
    workload = case.workload

    @functools.wraps(workload)
    def under(inputs: Inputs, /, **params: Any) -> Step:
        step = workload(inputs, **params)
        return replace(step, call=_around(mode, step.call), finish=_around(mode, step.finish) if step.finish else None)

    return replace(case, workload=under, listed_in=case.module)


def _around(mode: Seeded, function: Function) -> Function:
    def under() -> Any:
        with mode:
            return function()

    return under
