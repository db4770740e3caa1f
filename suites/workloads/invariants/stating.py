"""How a workload states what must hold of its outputs, and the cases that do. Knows no property; the words are those of `Invariant`."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from harness.case import Case, Scalar, Step
from harness.checks.invariant import Invariant
from harness.verdict import Cause
from suites.assets.families import PREFIX

Stated = Mapping[str, Tensor]

V4 = ("deepseek_v4-flash", "deepseek_v4-pro")
DENSE = ("qwen3", "llama")
ROUTED = (*V4, "deepseek_v32", "deepseek_v3", "qwen3_moe")
ALL = (*ROUTED, *DENSE)


def agree(name: str, left: Tensor, right: Tensor, addends: int = 1) -> dict[str, Tensor]:
    """Two ways to the same numbers, equal up to rounding; `addends`: they are sums of so many terms, which may cancel."""
    many = {f"addends/{name}": torch.tensor(addends)} if addends > 1 else {}
    return {f"left/{name}": left.detach(), f"right/{name}": right.detach(), **many}


def alike(left: Mapping[str, Tensor], right: Mapping[str, Tensor], tokens: int) -> dict[str, Tensor]:
    """The gradients of each parameter that has one agree. Those of vectors are sums over all tokens, which may cancel.

    So is that of the matrix that mixes V4's streams at the end: a norm follows, which takes out nearly all that it can change.
    """
    said: dict[str, Tensor] = {}
    for name in right:
        if right[name].any():
            cancelling = right[name].ndim < 2 or name.endswith("hc_head.hc_fn")
            said |= agree(f"gradient of {name}", left[name], right[name], tokens if cancelling else 1)
    return said


def exact(name: str, left: Tensor, right: Tensor) -> dict[str, Tensor]:
    """The same operations on the same numbers: the same bits."""
    return {f"exact_left/{name}": left.detach(), f"exact_right/{name}": right.detach()}


def nothing(name: str, value: Tensor, signal: Tensor) -> dict[str, Tensor]:
    """What is exactly zero; `signal` is what shows that it need not have been."""
    return {**exact(name, value, torch.zeros_like(value)), **moved(name, signal)}


def cancels(name: str, value: Tensor, scale: Tensor) -> dict[str, Tensor]:
    """Zero up to the rounding of terms of size `scale`."""
    return {f"zero/{name}": value.detach(), f"scale/{name}": scale.detach()}


def ordered(name: str, low: Tensor, high: Tensor) -> dict[str, Tensor]:
    """`low` is nowhere above `high`."""
    return {f"low/{name}": low.detach(), f"high/{name}": high.detach()}


def present(name: str, value: Tensor) -> dict[str, Tensor]:
    """Not zero."""
    return {f"present/{name}": value.detach()}


def moved(name: str, signal: Tensor) -> dict[str, Tensor]:
    """What would have moved, had the property been broken: if it is zero, the case says nothing."""
    return {f"signal/{name}": signal.detach()}


def stated(call: Callable[[], Stated], terms: int = 1) -> Step:
    """Return the step of an invariant; `terms` counts the roundings on the longest way to an output (see `Invariant`)."""
    return Step(call, details=lambda: {"terms": terms})


def hold(
    workload: Callable[..., Step], families: Iterable[str], cause: Cause = Cause.VALUES, *, name: str = "", **params: Scalar
) -> tuple[Case, ...]:
    """Return a case for each family, named `post_training/invariants/<name>/<family>[float32]`; `name` is the workload's own unless given.

    `cause` is what is probably wrong on a device that breaks the property.
    """
    title = name or workload.__name__.replace("_", "-")
    return tuple(
        Case(
            f"post_training/invariants/{title}/{family}[float32]", "post_training", workload, "float32", (Invariant(cause),),
            {"model": PREFIX + family, **params}, golden=False,
        ) for family in families
    )  # fmt: skip
