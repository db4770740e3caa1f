"""Functions of one tensor, element by element, in place too: rounding, exponentials, trigonometry, tests. Knows no second operand."""

import torch
from torch import Tensor

from emulator.behaviour import taking
from emulator.operator import Float32, Out, aclnn, plain
from emulator.ops.elementwise import define

for _name in (
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "sin", "sinc", "sinh", "tan", "tanh", "ceil", "floor", "frac"),
    *("erfinv", "exp2", "expm1", "log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sigmoid", "sqrt"),
):
    define(_name.capitalize(), "t", _name)

# no narrower integer: cann/ops-math, aclnn_exp.cpp, aclnn_erf.cpp, aclnn_erfc.cpp
_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.int64)
define("Erf", "t", "erf", lambda function: taking(function, *_REAL))
define("Erfc", "t", "erfc", lambda function: taking(function, *_REAL))
define("Exp", "t", "exp", lambda function: taking(function, *_REAL, torch.complex64, torch.complex128))
define("LogicalNot", "t", "logical_not")

plain("Abs", "to", torch.abs)
plain("AngleV2", "to", torch.angle)
plain("BitwiseNot", "to", torch.bitwise_not)
plain("IsFinite", "to", torch.isfinite)
plain("IsNegInf", "to", torch.isneginf)
plain("IsPosInf", "to", torch.isposinf)
plain("Neg", "to", torch.neg)
plain("Round", "to", torch.round)
plain("Sign", "to", torch.sgn)  # of complex numbers too
plain("Signbit", "to", torch.signbit)
plain("Trunc", "to", torch.trunc)


@aclnn
def RoundDecimals(self: Tensor, decimals: int, out: Out) -> Tensor:
    return torch.round(self, decimals=decimals)


@aclnn
def InplaceRoundDecimals(self: Out, decimals: int) -> Tensor:
    return torch.round_(self, decimals=decimals)


@aclnn
def NanToNum(self: Tensor, nan: Float32, posinf: Float32, neginf: Float32, out: Out) -> Tensor:
    return torch.nan_to_num(self, nan, posinf, neginf)


@aclnn
def InplaceNanToNum(self: Out, nan: Float32, posinf: Float32, neginf: Float32) -> Tensor:
    return torch.nan_to_num_(self, nan, posinf, neginf)
