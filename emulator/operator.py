"""What an emulated operator is: a Python function; its annotations are the C signature, its results the outputs. Knows no operator.

    @aclnn
    def Add(self: Tensor, other: Tensor, alpha: Scalar, out: Out) -> Tensor:
        return torch.add(self, other, alpha=alpha)

The function's name is the operator's without `aclnn`; parameters are those of the C call, in its order, and arrive as CPU tensors
over the device's memory (None where C passes a null pointer). What is returned is written to the `Out` parameters, in their
order: shapes must agree, the data type is converted. An operator that works in place calls its tensor `Out` as well.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin

import torch
from torch import Tensor

from emulator import behaviour
from emulator.direct import into

#: aclTensor* that is written. aclTensorList* of such. The rest of the C types, by the letters of call.c.
Out = Annotated[Tensor, "o"]
Outs = Annotated[list[Tensor], "O"]
Tensors = Annotated[list[Tensor], "T"]
Scalar = Annotated[float, "s"]
Scalars = Annotated[list[float], "S"]
Ints = Annotated[tuple[int, ...], "I"]
Bools = Annotated[tuple[bool, ...], "B"]
Floats = Annotated[tuple[float, ...], "F"]
Int8 = Annotated[int, "c"]
Int32 = Annotated[int, "w"]
Float32 = Annotated[float, "f"]
Pointer = Annotated[int, "p"]
_PLAIN = {Tensor: "t", int: "i", bool: "b", float: "d", str: "z"}

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)


@dataclass(frozen=True)
class Operator:
    """One exported C function: `name` in full, its signature in letters, and what computes it."""

    name: str
    signature: str
    function: Function

    @property
    def outputs(self) -> tuple[int, ...]:
        """Which parameters are written."""
        return tuple(place for place, letter in enumerate(self.signature) if letter in "oO")


#: Every operator and collective that is emulated, by its full name.
OPERATORS: dict[str, Operator] = {}
#: How often each ran since the process began.
CALLS: Counter[str] = Counter()


def aclnn(function: F) -> F:
    """Register `function` as the operator of its name."""
    return _register(f"aclnn{function.__name__}", function)


def named(name: str) -> Callable[[F], F]:
    """Register under a full name: an operator that several functions or lambdas stand for, a collective."""
    return lambda function: _register(name, function)


def plain(name: str, signature: str, function: Function) -> None:
    """Register an operator that PyTorch has as it is: `plain("Exp", "to", torch.exp)`.

    The function gets every parameter but the outputs; an operator in place, whose first parameter is its output, gets that too.
    """
    inputs = [place for place, letter in enumerate(signature) if letter not in "oO" or place == 0]
    outputs = [place for place, letter in enumerate(signature) if letter in "oO"]
    if len(outputs) == 1 and outputs[0] > 0 and signature[outputs[0]] == "o":
        _add(f"aclnn{name}", signature, lambda *given: into(function, given[outputs[0]], [given[place] for place in inputs]))
    else:
        _add(f"aclnn{name}", signature, lambda *given: function(*[given[place] for place in inputs]))


def raw(name: str, signature: str, function: Function) -> None:
    """Register an operator whose function gets every parameter, the outputs too, and returns the list of its results."""
    _add(f"aclnn{name}", signature, function)


def _register(name: str, function: F) -> F:
    _add(name, signature_of(function), function)
    return function


def _add(name: str, signature: str, function: Function) -> None:
    if name in OPERATORS:
        raise ValueError(f"{name} is defined twice")
    OPERATORS[name] = Operator(name, signature, function)


def signature_of(function: Function) -> str:
    """Return the letters of a function's parameters. Raises TypeError naming a parameter without a known annotation."""
    return "".join(_letter(parameter) for parameter in inspect.signature(function).parameters.values())


def _letter(parameter: inspect.Parameter) -> str:
    wanted = parameter.annotation
    if get_origin(wanted) is not Annotated and get_args(wanted):  # Tensor | None, Out | None
        wanted = next(part for part in get_args(wanted) if part is not type(None))
    if get_origin(wanted) is Annotated:
        return str(wanted.__metadata__[0])
    if wanted in _PLAIN:
        return _PLAIN[wanted]
    raise TypeError(f"parameter {parameter.name}: {wanted!r} is no C type that the emulator knows")


def entry(operator: Operator, function: Function) -> Callable[..., str | None]:
    """Return what C calls: it runs `function`, writes its results, and returns None or the text of what went wrong.

    PyTorch's state in this thread (modes, autocast, what is excluded from dispatch) belongs to the caller, who is in the middle of an
    operator of his own; the function sees the state of a fresh thread.
    """
    outputs = operator.outputs
    single = outputs[0] if len(outputs) == 1 and operator.signature[outputs[0]] == "o" else None
    name, calls = operator.name, CALLS
    force, include, exclude = torch._C._ForceDispatchKeyGuard, *_FRESH
    no_modes = torch._C.DisableTorchFunction

    def run(*arguments: Any) -> str | None:
        try:
            with force(include, exclude), no_modes():
                results = function(*arguments)
                calls[name] += 1
                if single is not None:
                    store(arguments[single], results)
                elif outputs:
                    _store_all([arguments[place] for place in outputs], results)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    return run


def _fresh() -> tuple[Any, Any]:
    return torch._C._dispatch_tls_local_include_set(), torch._C._dispatch_tls_local_exclude_set()


# asked in another thread: this one may be in the middle of an operator, the first that used a device
with ThreadPoolExecutor(1) as _thread:
    _FRESH = _thread.submit(_fresh).result()


def _store_all(outputs: list[Any], results: Any) -> None:
    if not isinstance(results, Sequence) or len(results) != len(outputs):
        raise TypeError(f"returned {'one result' if isinstance(results, Tensor) else results!r} for {len(outputs)} outputs")
    for out, result in zip(outputs, results, strict=True):
        if not isinstance(out, list):
            store(out, result)
            continue
        if len(out) != len(result):
            raise TypeError(f"returned {len(result)} tensors for a list of {len(out)}")
        for one, value in zip(out, result, strict=True):
            store(one, value)


def store(out: Tensor | None, result: Any) -> None:
    """Write a result where the caller wants it.

    Raises RuntimeError: another shape than the caller's, a type that converting would spoil (a fraction to an integer), no result at all.
    """
    if out is None:
        return
    if result is None:
        raise RuntimeError("computed nothing for an output that was asked for")
    if result is not out:
        if result.shape != out.shape:
            raise RuntimeError(f"computed shape {list(result.shape)} where torch_npu expects {list(out.shape)}")
        if not torch.can_cast(result.dtype, out.dtype):
            raise RuntimeError(f"computed {result.dtype} where torch_npu expects {out.dtype}")
        out.copy_(result)
    if behaviour.saturating():
        behaviour.saturate(out)
