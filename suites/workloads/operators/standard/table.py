"""The operators that the standard is carried out on: a few of each level and class. Knows no case and no device.

Which operators are L0, L1 or L2 is left to a table that the text does not print. Ours are msprobe's lists, with softmax and silu at L1.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.standards.cann.exact import Kind
from harness.standards.cann.golden import Source, first_source
from harness.standards.cann.shapes import RANKS

Shape = tuple[int, ...]
Attributes = Mapping[str, object]
Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Operator:
    """One operator: `run(*operands, **attributes)`; `operands` gives their shapes by name, from that of the first.

    `attributes` lists every combination that cases take in turn. `gradients`: run backward too, after this side's own forward.
    `composed` says that no library has the function as one operator. `refused` are calls, made with tensors from `make(*shape)`, that
    must raise. `model` are shapes from a model.
    """

    name: str
    level: str
    run: Function
    operands: Callable[[Shape], dict[str, Shape]]
    refused: Mapping[str, Callable[[Function], object]]
    kind: Kind = Kind.FLOATING
    ranks: tuple[int, ...] = RANKS
    attributes: tuple[Attributes, ...] = ({},)
    gradients: bool = True
    composed: bool = False
    model: tuple[Shape, ...] = ()

    @property
    def golden(self) -> Source:
        """Where the truth comes from: `run` in float64 on the CPU, as the same function or as a composition."""
        return first_source((None, self.run, None) if self.composed else (self.run, None, None))


def _all(**choices: tuple[object, ...]) -> tuple[Attributes, ...]:
    """Return every combination of the attributes' values."""
    return tuple(dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values()))


def _one(shape: Shape) -> dict[str, Shape]:
    return {"x": shape}


def _two(shape: Shape) -> dict[str, Shape]:
    return {"x": shape, "y": shape}


def _normalised(shape: Shape) -> dict[str, Shape]:
    return {"x": shape, "weight": shape[-1:], "bias": shape[-1:]}


def _product(shape: Shape) -> dict[str, Shape]:
    return {"x": shape, "y": (*shape[:-2], shape[-1], 9)}


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, *, eps: float) -> Tensor:
    """Normalise the last dimension."""
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def quantise(x: Tensor, *, scale: float) -> Tensor:
    """Round to int8 in steps of `scale`, saturating."""
    return (x / scale).round().clamp(-128, 127).to(torch.int8)


def total(x: Tensor, *, dim: int | None, keepdim: bool) -> Tensor:
    """Sum over one dimension, or over all."""
    return x.sum() if dim is None else x.sum(dim, keepdim=keepdim)


def swapped(x: Tensor, *, dims: tuple[int, int]) -> Tensor:
    """Exchange two dimensions, and lay the result out anew."""
    return x.transpose(*dims).contiguous()


# SmolLM2-135M is 576 wide
_STATES: tuple[Shape, ...] = ((2, 576), (1, 2, 576))

OPERATORS = (
    Operator("exp", "L0", torch.exp, _one, {"integer result": lambda make: torch.exp(make(3), out=make(3).to(torch.int32))}),
    Operator("mul", "L0", torch.mul, _two, {"shapes that do not fit": lambda make: torch.mul(make(3, 4), make(5))}),
    Operator("sigmoid", "L0", torch.sigmoid, _one, {"integer result": lambda make: torch.sigmoid(make(3), out=make(3).to(torch.int32))}),
    Operator(
        "transpose", "L0", swapped, _one, {"no such dimension": lambda make: make(3, 4).transpose(0, 2)}, Kind.MOVED, RANKS[1:],
        _all(dims=((0, -1), (-2, -1))), gradients=False,
    ),
    Operator(
        "add", "L0", torch.add, _two, {"shapes that do not fit": lambda make: torch.add(make(3, 4), make(5))}, Kind.INTEGER, gradients=False
    ),
    Operator(
        "quantise", "L0", quantise, _one, {"shapes that do not fit": lambda make: make(3).clamp(make(2), make(2))}, Kind.QUANTISED,
        attributes=_all(scale=(0.5, 0.0625)), gradients=False, composed=True,
    ),
    Operator(
        "softmax", "L1", F.softmax, _one, {"no such dimension": lambda make: F.softmax(make(3, 4), dim=2)}, attributes=_all(dim=(-1, 0))
    ),
    Operator(
        "layer_norm", "L2", layer_norm, _normalised, {"another width": lambda make: F.layer_norm(make(3, 4), (5,))},
        attributes=_all(eps=(1e-5, 1e-2)), model=_STATES,
    ),
    Operator("silu", "L1", F.silu, _one, {"shapes that do not fit": lambda make: F.silu(make(3), inplace=True).add_(make(4))}),
    Operator(
        "matmul", "L2", torch.matmul, _product, {"inner sizes that differ": lambda make: torch.matmul(make(3, 4), make(5, 6))},
        ranks=RANKS[1:], model=_STATES,
    ),
    Operator(
        "sum", "L2", total, _one, {"no such dimension": lambda make: make(3, 4).sum(2)},
        attributes=_all(dim=(-1, 0, None), keepdim=(False, True)), model=_STATES,
    ),
)  # fmt: skip
BY_NAME = {operator.name: operator for operator in OPERATORS}
