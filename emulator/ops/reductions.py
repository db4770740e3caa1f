"""Reductions to a sum, an extremum, a truth value, a norm or a spread. Knows no scan and no histogram."""

import torch
from torch import Tensor

from emulator.operator import Int32, Ints, Out, Scalar, aclnn, plain


def _dims(self: Tensor, dims: tuple[int, ...]) -> tuple[int, ...]:
    """Return the dimensions to reduce: in ATen's reductions an empty list means every one."""
    return dims or tuple(range(self.dim()))


@aclnn
def ReduceSum(self: Tensor, dims: Ints, keepdim: bool, dtype: Int32, out: Out) -> Tensor:
    return torch.sum(self, dims, keepdim, dtype=out.dtype)


@aclnn
def ReduceNansum(self: Tensor, dims: Ints, keepdim: bool, dtype: Int32, out: Out) -> Tensor:
    return torch.nansum(self, dims, keepdim, dtype=out.dtype)


@aclnn
def Mean(self: Tensor, dims: Ints, keepdim: bool, dtype: Int32, out: Out) -> Tensor:
    return torch.mean(self, dims, keepdim, dtype=out.dtype)


@aclnn
def Prod(self: Tensor, dtype: Int32, out: Out) -> Tensor:
    return torch.prod(self, dtype=out.dtype)


@aclnn
def ProdDim(self: Tensor, dim: int, keepdim: bool, dtype: Int32, out: Out) -> Tensor:
    return torch.prod(self, dim, keepdim, dtype=out.dtype)


def _renorm(self: Tensor, p: float, dim: int, most: float) -> Tensor:
    """As torch.renorm; also of order 0, the count of what is not 0, which the CPU refuses and Ascend's own test demands."""
    if p:
        return torch.renorm(self, p, dim, most)
    count = torch.count_nonzero(self.transpose(0, dim).flatten(1), 1).view(
        [-1 if at == dim % self.dim() else 1 for at in range(self.dim())]
    )
    return self * torch.where(count > most, most / (count + 1e-7), 1.0).to(self.dtype)


plain("Renorm", "tsiso", _renorm)
plain("InplaceRenorm", "osis", _renorm)
plain("Max", "to", torch.max)
plain("Min", "to", torch.min)
plain("MaxDim", "tiboo", torch.max)
plain("MinDim", "tiboo", torch.min)
plain("Amax", "tIbo", torch.amax)
plain("Amin", "tIbo", torch.amin)
plain("AminmaxAll", "too", torch.aminmax)
plain("ArgMax", "tibo", torch.argmax)
plain("ArgMin", "tibo", torch.argmin)


@aclnn
def Aminmax(self: Tensor, dims: Ints, keepdim: bool, lowest: Out, highest: Out) -> tuple[Tensor, Tensor]:
    return torch.amin(self, dims, keepdim), torch.amax(self, dims, keepdim)


@aclnn
def AminmaxDim(self: Tensor, dim: int, keepdim: bool, lowest: Out, highest: Out) -> tuple[Tensor, Tensor]:
    return torch.amin(self, dim, keepdim), torch.amax(self, dim, keepdim)


@aclnn
def All(self: Tensor, dims: Ints, keepdim: bool, out: Out) -> Tensor:
    return torch.all(self, _dims(self, dims), keepdim).to(out.dtype)  # of bytes PyTorch gives bytes


@aclnn
def Any(self: Tensor, dims: Ints, keepdim: bool, out: Out) -> Tensor:
    return torch.any(self, _dims(self, dims), keepdim).to(out.dtype)


@aclnn
def Norm(self: Tensor, p: Scalar, dims: Ints, keepdim: bool, out: Out) -> Tensor:
    result: Tensor = torch.ops.aten.norm.ScalarOpt_dim(self, p, dims, keepdim)
    return result


@aclnn
def LinalgVectorNorm(self: Tensor, order: Scalar, dims: Ints, keepdim: bool, dtype: Int32, out: Out) -> Tensor:
    result: Tensor = torch.linalg.vector_norm(self, order, dims or None, keepdim, dtype=None if self.is_complex() else out.dtype)
    return result


@aclnn
def LogSumExp(self: Tensor, dims: Ints, keepdim: bool, out: Out) -> Tensor:
    return torch.logsumexp(self, dims, keepdim)


@aclnn
def Std(self: Tensor, dims: Ints, correction: int, keepdim: bool, out: Out) -> Tensor:
    return torch.std(self, dims, correction=correction, keepdim=keepdim)


@aclnn
def StdMeanCorrection(self: Tensor, dims: Ints, correction: int, keepdim: bool, std: Out, mean: Out) -> tuple[Tensor, Tensor]:
    return torch.std_mean(self, dims, correction=correction, keepdim=keepdim)


@aclnn
def VarCorrection(self: Tensor, dims: Ints, correction: int, keepdim: bool, out: Out) -> Tensor:
    return torch.var(self, dims, correction=correction, keepdim=keepdim)


@aclnn
def VarMean(self: Tensor, dims: Ints, correction: int, keepdim: bool, var: Out, mean: Out) -> tuple[Tensor, Tensor]:
    return torch.var_mean(self, dims, correction=correction, keepdim=keepdim)
