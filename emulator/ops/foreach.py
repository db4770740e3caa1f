"""The same arithmetic over a list of tensors, as optimizers with `foreach=True` call it. Knows no optimizer.

A scalar reaches the operators whose names end in V2 as a number, and those they replace as a tensor of one element; both are here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from emulator.operator import Outs, Scalar, Tensors, aclnn, plain, raw

Lists = Callable[..., Sequence[Tensor]]
Outputs = Callable[..., list[Sequence[Tensor]]]

_UNARY: dict[str, Lists] = {
    "Abs": torch._foreach_abs,
    "Acos": torch._foreach_acos,
    "Asin": torch._foreach_asin,
    "Atan": torch._foreach_atan,
    "Cos": torch._foreach_cos,
    "Cosh": torch._foreach_cosh,
    "Erf": torch._foreach_erf,
    "Erfc": torch._foreach_erfc,
    "Exp": torch._foreach_exp,
    "Expm1": torch._foreach_expm1,
    "Log": torch._foreach_log,
    "Log10": torch._foreach_log10,
    "Log1p": torch._foreach_log1p,
    "Log2": torch._foreach_log2,
    "Neg": torch._foreach_neg,
    "Reciprocal": torch._foreach_reciprocal,
    "Sigmoid": torch._foreach_sigmoid,
    "Sign": torch._foreach_sign,
    "Sin": torch._foreach_sin,
    "Sinh": torch._foreach_sinh,
    "Sqrt": torch._foreach_sqrt,
    "Tan": torch._foreach_tan,
    "Tanh": torch._foreach_tanh,
}


def _one(function: Lists) -> Outputs:
    """Return a function of every parameter, the outputs last, whose result is one output, a list.

    Lists that are both, as optimizers have them, are written in place: a model's worth of copies costs more than the arithmetic. In
    16 bits they are not, for there PyTorch rounds a number in place that it does not round otherwise.
    """
    in_place = getattr(torch, f"{function.__name__}_", None)

    def compute(*arguments: Any) -> list[Sequence[Tensor]]:
        *operands, out = arguments
        if in_place is not None and isinstance(operands[0], list) and out is not None and all(map(_same, operands[0], out)):
            in_place(out, *operands[1:])
            return [out]
        return [function(*operands)]

    return compute


def _same(one: Tensor, other: Tensor) -> bool:
    place = (other.data_ptr(), other.shape, other.stride())
    return one.dtype == torch.float32 == other.dtype and (one.data_ptr(), one.shape, one.stride()) == place


def _with_item(function: Lists) -> Outputs:
    """Return a function that takes the number as a tensor of one element, the last before the outputs."""
    one = _one(function)
    return lambda *arguments: one(*arguments[:-2], arguments[-2].item(), arguments[-1])


def _with_items(function: Lists) -> Outputs:
    """Return a function that takes the numbers as a tensor, an element for each tensor of the lists."""
    one = _one(function)
    return lambda *arguments: one(*arguments[:-2], arguments[-2].tolist(), arguments[-1])


for _name, _function in _UNARY.items():
    raw(f"Foreach{_name}", "TO", _one(_function))


_BINARY: dict[str, Lists] = {
    "Add": torch._foreach_add,
    "Div": torch._foreach_div,
    "Maximum": torch._foreach_maximum,
    "Minimum": torch._foreach_minimum,
    "Mul": torch._foreach_mul,
    "Pow": torch._foreach_pow,
    "Sub": torch._foreach_sub,
}
for _name, _function in _BINARY.items():
    if _name not in ("Add", "Sub"):  # those have a factor
        raw(f"Foreach{_name}List", "TTO", _one(_function))
    raw(f"Foreach{_name}Scalar", "TtO", _with_item(_function))
    raw(f"Foreach{_name}ScalarV2", "TsO", _one(_function))
    raw(f"Foreach{_name}ScalarList", "TSO", _one(_function))
raw("ForeachPowScalarAndTensor", "sTO", _one(torch._foreach_pow))

for _name, _function in {"Addcmul": torch._foreach_addcmul, "Addcdiv": torch._foreach_addcdiv}.items():
    raw(f"Foreach{_name}Scalar", "TTTtO", _with_item(_function))
    raw(f"Foreach{_name}ScalarV2", "TTTsO", _one(_function))
    raw(f"Foreach{_name}ScalarList", "TTTtO", _with_items(_function))

raw("ForeachLerpList", "TTTO", _one(torch._foreach_lerp))
raw("ForeachLerpScalar", "TTsO", _one(torch._foreach_lerp))
plain("ForeachCopy", "TO", lambda sources: [sources])


@aclnn
def ForeachAddList(self: Tensors, other: Tensors, alpha: Tensor, out: Outs) -> list[Sequence[Tensor]]:
    return [torch._foreach_add(self, other, alpha=alpha.item())]


@aclnn
def ForeachAddListV2(self: Tensors, other: Tensors, alpha: Scalar, out: Outs) -> list[Sequence[Tensor]]:
    return [torch._foreach_add(self, other, alpha=alpha)]


@aclnn
def ForeachSubList(self: Tensors, other: Tensors, alpha: Tensor, out: Outs) -> list[Sequence[Tensor]]:
    return [torch._foreach_sub(self, other, alpha=alpha.item())]


@aclnn
def ForeachSubListV2(self: Tensors, other: Tensors, alpha: Scalar, out: Outs) -> list[Sequence[Tensor]]:
    return [torch._foreach_sub(self, other, alpha=alpha)]


@aclnn
def ForeachNorm(self: Tensors, p: Scalar, out: Outs) -> list[Sequence[Tensor]]:
    return [torch._foreach_norm(self, p)]


@aclnn
def ForeachZeroInplace(self: Outs) -> list[Sequence[Tensor]]:
    torch._foreach_zero_(self)
    return [self]


_ROUNDING: dict[int, Lists] = {
    1: torch._foreach_round,
    2: torch._foreach_floor,
    3: torch._foreach_ceil,
    5: torch._foreach_trunc,
    7: torch._foreach_frac,
}


@aclnn
def ForeachRoundOffNumber(self: Tensors, mode: Tensor, out: Outs) -> list[Sequence[Tensor]]:
    return [_ROUNDING[int(mode)](self)]


@aclnn
def ForeachRoundOffNumberV2(self: Tensors, mode: Scalar, out: Outs) -> list[Sequence[Tensor]]:
    return [_ROUNDING[int(mode)](self)]
