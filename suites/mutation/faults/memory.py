"""Faults of copies, linear algebra, spectra and complex numbers. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.arithmetic import cast, like
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right


@fault(
    "copy-tail",
    "aten::clone",
    "aten::copy",
    "aten::_to_copy",
    "aten::repeat",
    causes=(Cause.TAIL,),
    source="msprobe guide: memory stomp at multiples of 2048",
)
def copy_tail(right: Right, **_: Any) -> Any:
    """Of more than 64 bytes, those beyond the last multiple of 64 are lost."""
    result = right()
    size = result.element_size()
    rest = result.numel() * size % 64 // size
    if result.numel() * size <= 64 or not rest or not result.is_contiguous():
        return result
    result = result.clone()
    result.view(-1)[-rest:] = 0
    return result


@fault(
    "copy-ignores-strides",
    "aten::clone",
    "aten::_to_copy",
    causes=(Cause.LAYOUT, Cause.VALUES),
    source="VA-2988, VA-4058: a format assumed",
)
def copy_strides(right: Right, self: Tensor, **_: Any) -> Any:
    """A transposed tensor is copied in the order of its memory."""
    if self.ndim < 2 or self.is_contiguous() or not self.mT.is_contiguous():
        return right()
    return right(self=torch.as_strided(self, self.shape, torch.empty(self.shape, device="meta").stride(), self.storage_offset()))


@fault(
    "conjugate-lost",
    "aten::_conj_physical",
    "aten::conj_physical",
    "aten::resolve_conj",
    "aten::_neg_view",
    causes=(Cause.VALUES,),
    source="complex arithmetic composed of real kernels",
)
def conjugate(right: Right, self: Tensor, **_: Any) -> Any:
    """Nothing is conjugated."""
    return self.clone() if self.is_complex() else right()


@fault(
    "solver-in-half",
    "aten::_linalg_solve_ex",
    "aten::linalg_inv_ex",
    "aten::triangular_solve",
    "aten::linalg_solve_triangular",
    "aten::cholesky_solve",
    causes=(Cause.PRECISION,),
    source="HF32 in a factorisation",
)
def solver_in_half(right: Right, **arguments: Any) -> Any:
    """Float32 matrices are rounded to bfloat16."""
    return like(right(**cast(cast(arguments, torch.bfloat16, (torch.float32,)), torch.float32, (torch.bfloat16,))), right())


@fault("cholesky-other-triangle", "aten::linalg_cholesky_ex", causes=(Cause.VALUES,), source="an argument dropped")
def cholesky_triangle(right: Right, upper: bool = False, **_: Any) -> Any:
    """The other triangle is returned."""
    return right(upper=not upper)


@fault(
    "spectrum-scaling",
    "aten::_fft_c2c",
    "aten::_fft_r2c",
    "aten::_fft_c2r",
    causes=(Cause.VALUES,),
    source="the normalisation of a transform mixed up",
)
def spectrum_scaling(right: Right, normalization: int, **_: Any) -> Any:
    """None is taken for orthonormal, and anything else for none."""
    return right(normalization=1 if normalization == 0 else 0)
