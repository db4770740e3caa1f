"""Factors, inverses, determinants and solutions of matrices, by the CPU's LAPACK. Knows no product."""

import torch
from torch import Tensor

from emulator.operator import Out, aclnn, plain
from emulator.widening import widened

plain("Inverse", "to", widened(torch.linalg.inv))
plain("LinalgCholesky", "tbo", lambda matrix, upper: torch.linalg.cholesky(matrix, upper=upper))
plain("LinalgCross", "ttio", lambda one, other, dim: torch.linalg.cross(one, other, dim=dim))
plain("Trace", "to", torch.trace)

_QR_MODES = "reduced", "complete", "r"


@aclnn
def LinalgQr(self: Tensor, mode: int, q: Out, r: Out) -> tuple[Tensor, Tensor]:
    return tuple(torch.linalg.qr(self, _QR_MODES[mode]))


@aclnn
def Slogdet(self: Tensor, sign: Out, logarithm: Out) -> tuple[Tensor, Tensor]:
    return tuple(torch.linalg.slogdet(self))


@aclnn
def Svd(self: Tensor, full_matrices: bool, compute_uv: bool, sigma: Out, u: Out, v: Out) -> tuple[Tensor, Tensor, Tensor]:
    """self = U diag(sigma) V^T (aclnnSvd): V is transposed, against torch's third factor."""
    left, values, right = torch.ops.aten._linalg_svd(self, full_matrices, compute_uv)
    return (values, left, right.mT) if compute_uv else (values, u, v)


@aclnn
def TriangularSolve(
    self: Tensor, matrix: Tensor, upper: bool, transpose: bool, unitriangular: bool, solution: Out, copy: Out
) -> tuple[Tensor, Tensor]:
    taken = matrix.mT if transpose else matrix
    found = torch.linalg.solve_triangular(taken, self, upper=upper != transpose, unitriangular=unitriangular)
    return found, matrix.expand(copy.shape)
