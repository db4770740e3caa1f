"""Copies, casts and fills. Knows no arithmetic."""

from torch import Tensor

from emulator.operator import Int32, Out, Scalar, aclnn


@aclnn
def InplaceCopy(self: Out, source: Tensor) -> Tensor:
    return self.copy_(source)  # any type to any other, as `Tensor.copy_` has it


@aclnn
def Cast(self: Tensor, dtype: Int32, out: Out) -> Tensor:
    return self.to(out.dtype)


@aclnn
def InplaceZero(self: Out) -> Tensor:
    return self.zero_()


@aclnn
def InplaceOne(self: Out) -> Tensor:
    return self.fill_(1)


@aclnn
def InplaceFillScalar(self: Out, value: Scalar) -> Tensor:
    return self.fill_(value)


@aclnn
def InplaceFillTensor(self: Out, value: Tensor) -> Tensor:
    return self.fill_(value)


@aclnn
def InplaceFillDiagonal(self: Out, value: Scalar, wrap: bool) -> Tensor:
    return self.fill_diagonal_(value, wrap)
