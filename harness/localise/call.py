"""One call of one operator, made alone on any side with the same operands, and judged. Knows no workload."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from harness.chain import Chain
from harness.devices.device import Device
from harness.forms import form
from harness.localise.arguments import placed, tensors_in, widened
from harness.localise.figures import Figures, Truth, equal, judge
from harness.localise.operators import Arguments, in_one_dtype, name_of, named, outside, stand_in, written
from harness.manner import FORMS
from harness.verdict import Cause

#: What an operator may raise when it does not like its operands; anything else is a mistake of ours.
RAISED = (RuntimeError, TypeError, ValueError, IndexError, AssertionError)
_HOST = torch.device("cpu")
_SELECTIONS = frozenset({"argmax", "argmin", "topk", "sort", "argsort", "max", "min", "kthvalue", "median", "nanmedian", "mode"})

Run = Callable[[Callable[..., Any], Sequence[Any], Mapping[str, Any]], Any]


def _directly(function: Callable[..., Any], positional: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    return function(*positional, **keywords)


@dataclass(frozen=True)
class Side:
    """A device on which a call is made. `run` calls a function with arguments that are already there (tests put a fault in)."""

    name: str
    device: torch.device
    unsupported: Callable[[BaseException], bool]
    run: Run = _directly

    @classmethod
    def of(cls, device: Device) -> "Side":
        """Return a device as a side."""
        return cls(device.name, device.torch_device, device.unsupported)


@dataclass(frozen=True)
class Refusal:
    """A side did not compute: it has no such operator (`unsupported`), or raised something else."""

    unsupported: bool
    message: str


@dataclass(frozen=True)
class Call:
    """An operator with its operands as they were before it ran, on the device `here`."""

    operator: OpOverload
    arguments: Arguments
    here: torch.device

    def results(self, returned: Any, arguments: Arguments) -> list[Tensor | None]:
        """Return what a call computed: what it returned (None for what is no tensor), then what it wrote to and did not return."""
        parts = list(returned) if isinstance(returned, (list, tuple)) else [returned]
        flat: list[Tensor | None] = []
        for part in parts:
            if isinstance(part, (list, tuple)):
                flat += [t if isinstance(t, Tensor) else None for t in part]
            else:
                flat.append(part if isinstance(part, Tensor) else None)
        known = {id(tensor) for tensor in flat}
        return flat + [t for t in tensors_in(written(self.operator, arguments)) if id(t) not in known]

    def on(self, side: Side) -> list[Tensor | None] | Refusal:
        """Make the call on a side with copies of the operands; the results come back to the host."""
        try:
            arguments = placed(self.arguments, self.here, side.device)
            instead = stand_in(self.operator)
            returned = side.run(self.operator, *arguments) if instead is None else outside(side.run, ((instead, *arguments), {}))
            return to_host(self.results(returned, arguments))
        except RAISED as error:
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return Refusal(side.unsupported(error), text)

    def in_float64(self) -> tuple[list[Tensor | None] | None, int]:
        """Make the call on the host with operands widened to float64; return its results, None where the operator cannot.

        The number is that of the terms in the longest sum.
        """
        arguments = widened(self.arguments)
        function = stand_in(self.operator)
        if function is None:
            function, arguments = self.operator, in_one_dtype(self.operator, arguments)

        def counted() -> tuple[Any, int]:
            with Chain() as chain:
                return function(*arguments[0], **arguments[1]), chain.longest

        try:
            returned, longest = outside(counted, ((), {}))
            return self.results(returned, arguments), longest
        except RAISED:
            return None, 1

    def in_other_forms(self) -> list[list[Tensor | None]]:
        """Make the call on the host in every other accepted form: taken apart, and summed the other way round."""
        found = []
        for manner in FORMS:
            arguments = placed(self.arguments, self.here, _HOST)
            try:
                with form(manner):
                    found.append(self.results(self.operator(*arguments[0], **arguments[1]), arguments))
            except RAISED:
                continue
        return found

    def judge(self, candidate: list[Tensor | None], reference: list[Tensor | None]) -> Figures:
        """Judge results on the host. Float64 is only computed if the two differ, other forms only if float64 leaves a doubt."""
        if equal(candidate, reference):
            return Figures("equal")
        truth = Truth(*self.in_float64(), self._ties(candidate, reference))
        figures = judge(candidate, [reference], truth)
        if figures.state == "off":
            figures = judge(candidate, [reference, *self.in_other_forms()], truth)
        if figures.cause is Cause.INTEGERS and self.operator._opname in _SELECTIONS:
            return replace(figures, cause=Cause.CHOICE)
        return figures

    def _ties(self, candidate: list[Tensor | None], reference: list[Tensor | None]) -> list[bool]:
        """Tell of each result whether it is an index that differs from the reference's only in which of equal values it names."""
        if self.operator._opname not in _SELECTIONS:
            return [False] * len(candidate)
        values = named(self.operator, self.arguments)
        source, dim = values["self"].detach().cpu(), values.get("dim")
        return [
            a is not None and b is not None and a.shape == b.shape and a.dtype == torch.int64 and _tied(source, dim, a, b)
            for a, b in zip(candidate, reference, strict=True)
        ]

    def operands(self) -> str:
        """Return the tensors of a call in words: "float32 [2, 64], int64 [2]"; strides are told where they are not the usual ones."""
        told = [_described(t) for t in tensors_in(self.arguments)]
        return ", ".join(told[:6]) + (f" and {len(told) - 6} more" if len(told) > 6 else "")

    @property
    def name(self) -> str:
        """The operator's full name."""
        return name_of(self.operator)


def to_host(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return tensors on the host, detached."""
    return [None if t is None else t.detach().to(_HOST) for t in tensors]


def _tied(source: Tensor, dim: int | None, ours: Tensor, theirs: Tensor) -> bool:
    if dim is None:
        source, dim, ours, theirs = source.reshape(-1), 0, ours.reshape(-1), theirs.reshape(-1)
    if ours.ndim < source.ndim:
        ours, theirs = ours.unsqueeze(dim), theirs.unsqueeze(dim)
    if not ours.numel() or int(ours.min()) < 0 or int(ours.max()) >= source.shape[dim]:
        return False
    ordered = ours.sort(dim).values
    if (ordered.diff(dim=dim) == 0).any():  # one entry named twice
        return False
    picked, wanted = source.gather(dim, ours), source.gather(dim, theirs)
    return bool(((picked == wanted) | ((picked != picked) & (wanted != wanted))).all())


def _described(tensor: Tensor) -> str:
    text = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
    return text if tensor.is_contiguous() else f"{text} with strides {list(tensor.stride())}"
