"""Tensors made from a few numbers: ranges, identities. Knows no random numbers and no copies of tensors."""

import torch
from torch import Tensor

from emulator.operator import Out, Scalar, aclnn


@aclnn
def Arange(start: Scalar, end: Scalar, step: Scalar, out: Out) -> Tensor:
    return torch.arange(start, end, step, dtype=out.dtype)


@aclnn
def Range(start: Scalar, end: Scalar, step: Scalar, out: Out) -> Tensor:
    return torch.ops.aten.range.step(start, end, step, dtype=out.dtype)  # type: ignore[no-any-return]


@aclnn
def Linspace(start: Scalar, end: Scalar, steps: int, out: Out) -> Tensor:
    return torch.linspace(start, end, steps, dtype=out.dtype)


@aclnn
def LogSpace(start: Scalar, end: Scalar, steps: int, base: float, out: Out) -> Tensor:
    return torch.logspace(start, end, steps, base, dtype=out.dtype)


@aclnn
def Eye(rows: int, columns: int, out: Out) -> Tensor:
    return torch.eye(rows, columns, dtype=out.dtype)
