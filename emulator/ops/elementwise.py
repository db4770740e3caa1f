"""Arithmetic of tensors with tensors or numbers, element by element, in place too. Knows no function of one tensor alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from emulator.direct import LARGE, disjoint
from emulator.operator import Out, aclnn, plain

Function = Callable[..., Tensor]


def in_place(name: str) -> Function:
    """Return PyTorch's method `name_`, which refuses what has no type in place; on a copy if others lie in the same memory."""
    method = getattr(torch.Tensor, f"{name}_")

    def compute(target: Tensor, *others: Any, **options: Any) -> Tensor:
        alone = target.numel() >= LARGE and disjoint(target, others, same=True)
        return method(target if alone else target.clone(), *others, **options)  # type: ignore[no-any-return]

    return compute


def define(c_name: str, operands: str, name: str, wrap: Callable[[Function], Function] = lambda function: function) -> None:
    """Register PyTorch's function `name` as an operator with an output, and its method as the operator in place."""
    plain(c_name, f"{operands}o", wrap(getattr(torch, name)))
    plain(f"Inplace{c_name}", f"o{operands[1:]}", wrap(in_place(name)))


def _last_is(keyword: str, meaning: Callable[[Any], Any] = lambda value: value) -> Callable[[Function], Function]:
    """Return a wrapper of functions: their last argument in C is PyTorch's keyword."""
    return lambda function: lambda *arguments, **out: function(*arguments[:-1], **{keyword: meaning(arguments[-1])}, **out)


_alpha, _value, _rounding = _last_is("alpha"), _last_is("value"), _last_is("rounding_mode", {0: None, 1: "trunc", 2: "floor"}.__getitem__)

define("Add", "tts", "add", _alpha)
define("Adds", "tss", "add", _alpha)
define("Sub", "tts", "sub", _alpha)
define("Subs", "tss", "sub", _alpha)
define("Mul", "tt", "mul")
define("Muls", "ts", "mul")
define("Div", "tt", "div")
define("Divs", "ts", "div")
define("DivMod", "ttw", "div", _rounding)
define("DivMods", "tsw", "div", _rounding)
define("FloorDivide", "tt", "floor_divide")
define("FloorDivides", "ts", "floor_divide")
define("RemainderTensorTensor", "tt", "remainder")
define("RemainderTensorScalar", "ts", "remainder")
define("FmodTensor", "tt", "fmod")
define("FmodScalar", "ts", "fmod")
define("PowTensorTensor", "tt", "pow")
define("PowTensorScalar", "ts", "pow")
define("Atan2", "tt", "atan2")
define("ClampMax", "ts", "clamp_max")
define("ClampMaxTensor", "tt", "clamp_max")
define("ClampMinTensor", "tt", "clamp_min")
define("XLogYScalarOther", "ts", "xlogy")
define("Lerp", "ttt", "lerp")
define("Lerps", "tts", "lerp")
define("Addcmul", "ttts", "addcmul", _value)
define("Addcdiv", "ttts", "addcdiv", _value)

plain("AddV3", "stso", _alpha(torch.add))
plain("Rsub", "ttso", _alpha(torch.rsub))
plain("Rsubs", "tsso", _alpha(torch.rsub))
plain("RemainderScalarTensor", "sto", torch.remainder)
plain("PowScalarTensor", "sto", torch.pow)
plain("Clamp", "tsso", torch.clamp)
plain("ClampMin", "tso", torch.clamp_min)
plain("ClampTensor", "ttto", torch.clamp)
plain("Maximum", "tto", torch.maximum)
plain("Minimum", "tto", torch.minimum)
plain("LogAddExp", "tto", torch.logaddexp)
plain("LogAddExp2", "tto", torch.logaddexp2)
plain("XLogYTensor", "tto", torch.xlogy)
plain("XLogYScalarSelf", "sto", torch.xlogy)
plain("Gcd", "tto", torch.gcd)
plain("Polar", "tto", torch.polar)
plain("MaskedScale", "ttdo", lambda self, mask, scale: self * mask * scale)


@aclnn
def Complex(real: Tensor, imag: Tensor, out: Out) -> Tensor:
    """CANN makes of each real dtype its own complex one and no other (aclnn_complex.cpp)."""
    result = torch.complex(real, imag)
    if result.dtype != out.dtype:
        raise TypeError(f"{real.dtype} makes {result.dtype}, and not {out.dtype}")
    return result
