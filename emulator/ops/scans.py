"""Cumulative sums, products and extrema, order statistics, histograms. Knows no reduction to a sum."""

import torch
from torch import Tensor

from emulator.operator import Int32, Out, Scalar, aclnn, plain


@aclnn
def Cumsum(self: Tensor, dim: int, dtype: Int32, out: Out) -> Tensor:
    return torch.cumsum(self, dim, dtype=out.dtype)


@aclnn
def Cumprod(self: Tensor, dim: Scalar, dtype: Int32, out: Out) -> Tensor:
    return torch.cumprod(self, int(dim), dtype=out.dtype)


plain("Cummax", "tioo", torch.cummax)
plain("Cummin", "tioo", torch.cummin)
plain("Median", "to", torch.median)
plain("MedianDim", "tiboo", torch.median)
plain("NanMedian", "to", torch.nanmedian)
plain("NanMedianDim", "tiboo", torch.nanmedian)


@aclnn
def Histc(self: Tensor, bins: int, lowest: Scalar, highest: Scalar, out: Out) -> Tensor:
    # the CPU has it for float32 and float64 only, the device for integers too, and counts in the type of its input
    wide = self if self.dtype == torch.float64 else self.float()
    return torch.histc(wide, bins, lowest, highest).to(out.dtype)


@aclnn
def Bincount(self: Tensor, weight: Tensor | None, length: int, out: Out) -> Tensor:
    return torch.bincount(self, weight, len(out))
