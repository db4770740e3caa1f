"""Comparison, logic and bits of two operands, and selection by a mask, in place too. Knows no arithmetic."""

import torch
from torch import Tensor

from emulator.operator import Out, Scalar, aclnn, plain
from emulator.ops.elementwise import define, in_place

for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    define(f"{_name.capitalize()}Tensor", "tt", _name)
    define(f"{_name.capitalize()}Scalar", "ts", _name)
plain("LessScalar", "tso", torch.lt)

define("LogicalAnd", "tt", "logical_and")
define("LogicalOr", "tt", "logical_or")
plain("LogicalXor", "tto", torch.logical_xor)

define("BitwiseAndTensor", "tt", "bitwise_and")
define("BitwiseAndScalar", "ts", "bitwise_and")
define("BitwiseXorTensor", "tt", "bitwise_xor")
define("BitwiseXorScalar", "ts", "bitwise_xor")
plain("BitwiseOrTensor", "tto", torch.bitwise_or)
plain("BitwiseOrScalar", "tso", torch.bitwise_or)
plain("LeftShift", "tto", torch.bitwise_left_shift)
plain("LeftShifts", "tso", torch.bitwise_left_shift)
plain("RightShift", "tto", torch.bitwise_right_shift)

plain("SWhere", "ttto", torch.where)
plain("InplaceMaskedFillScalar", "ots", in_place("masked_fill"))
plain("InplaceMaskedFillTensor", "ott", in_place("masked_fill"))


@aclnn
def Equal(self: Tensor, other: Tensor, out: Out) -> Tensor:
    return torch.tensor([torch.equal(self, other)])


@aclnn
def IsClose(self: Tensor, other: Tensor, rtol: float, atol: float, equal_nan: bool, out: Out) -> Tensor:
    return torch.isclose(self, other, rtol, atol, equal_nan)


@aclnn
def IsInScalarTensor(element: Scalar, tests: Tensor, assume_unique: bool, invert: bool, out: Out) -> Tensor:
    return torch.isin(element, tests, assume_unique=assume_unique, invert=invert)


@aclnn
def IsInTensorScalar(elements: Tensor, test: Scalar, assume_unique: bool, invert: bool, out: Out) -> Tensor:
    return torch.isin(elements, test, assume_unique=assume_unique, invert=invert)
