"""Softmax and log-sum-exp from exp and sum. Knows no dtype, device or fused kernel.

Source: the definition; the shift by the maximum changes nothing in exact arithmetic (Blanchard, Higham and Higham,
IMA J. Numer. Anal. 2021, eq. 1.3), so it is held constant under differentiation.
"""

import torch
from torch import Tensor


def softmax(scores: Tensor, dim: int) -> Tensor:
    """Return `exp(x_i) / sum_j exp(x_j)` along `dim`; where all of them are -inf, 0 (a sum over nothing weighs nothing)."""
    exponentials = torch.exp(scores - _peak(scores, dim))
    total = exponentials.sum(dim, keepdim=True)
    return exponentials / torch.where(total == 0, torch.ones_like(total), total)


def log_sum_exp(scores: Tensor, dim: int) -> Tensor:
    """Return `log sum_j exp(x_j)` along `dim`, which is dropped."""
    peak = _peak(scores, dim)
    return torch.log(torch.exp(scores - peak).sum(dim)) + peak.squeeze(dim)


def _peak(scores: Tensor, dim: int) -> Tensor:
    """The maximum along `dim`, or 0 where that is -inf: -inf - (-inf) would be NaN."""
    peak = scores.detach().amax(dim, keepdim=True)
    return torch.where(torch.isinf(peak), torch.zeros_like(peak), peak)
