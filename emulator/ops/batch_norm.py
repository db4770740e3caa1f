"""Batch normalization, whole and in the steps of its synchronized form, and its backward. Knows no communication."""

from typing import Any

import torch
from torch import Tensor

from emulator.operator import Bools, Float32, Out, aclnn

aten = torch.ops.aten


@aclnn
def BatchNorm(
    self: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Out | None,
    running_var: Out | None,
    training: bool,
    momentum: float,
    eps: float,
    out: Out,
    mean: Out,
    invstd: Out,
) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor, Tensor]:
    """As the CPU, of contiguous operands, as CANN makes them: of others the CPU rounds every sum to half precision."""
    result, *saved = aten.native_batch_norm.default(self.contiguous(), weight, bias, running_mean, running_var, training, momentum, eps)
    if not training and running_mean is not None and running_var is not None:  # the CPU saves nothing then, torch_npu has the memory
        saved = [running_mean, torch.rsqrt(running_var.float() + eps)]
    return running_mean, running_var, result, saved[0], saved[1]


@aclnn
def BatchNormBackward(
    grad: Tensor,
    self: Tensor,
    weight: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor | None,
    invstd: Tensor | None,
    training: bool,
    eps: float,
    mask: Bools,
    grad_self: Out | None,
    grad_weight: Out | None,
    grad_bias: Out | None,
) -> Any:
    kept = next((one.dtype for one in (weight, running_mean) if one is not None), self.dtype)
    statistics = [None if one is None else one.to(kept) for one in (mean, invstd)]
    operands = (grad.contiguous(), self.contiguous(), weight, running_mean, running_var, *statistics)
    return aten.native_batch_norm_backward.default(*operands, training, eps, list(mask))


def _others(self: Tensor) -> list[int]:
    """Return every dimension but the channels'."""
    return [place for place in range(self.dim()) if place != 1]


def _along(self: Tensor, values: Tensor) -> Tensor:
    """Return float32 values, one a channel, in the shape that broadcasts to self."""
    return values.float().view([-1 if place == 1 else 1 for place in range(self.dim())])


def _update(running: Tensor | None, value: Tensor, momentum: float) -> None:
    if running is not None:
        running.copy_((1 - momentum) * running.float() + momentum * value)


@aclnn
def BatchNormStats(self: Tensor, eps: float, mean: Out, invstd: Out) -> tuple[Tensor, Tensor]:
    """self [N, C, *]; mean and 1 / sqrt(variance + eps), float32 [C]. Source: PyTorch, batch_norm_stats."""
    var, centre = torch.var_mean(self.float(), _others(self), correction=0)
    return centre, torch.rsqrt(var + eps)


@aclnn
def BatchNormElemt(self: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, invstd: Tensor, eps: float, out: Out) -> Tensor:
    """self [N, C, *]; (self - mean) invstd weight + bias, in float32; eps is within invstd. Source: PyTorch, batch_norm_elemt."""
    result = (self.float() - _along(self, mean)) * _along(self, invstd)
    if weight is not None:
        result = result * _along(self, weight)
    return result if bias is None else result + _along(self, bias)


@aclnn
def BatchNormGatherStatsWithCounts(
    self: Tensor,
    mean: Tensor,
    invstd: Tensor,
    running_mean: Out | None,
    running_var: Out | None,
    momentum: float,
    eps: float,
    counts: Tensor,
    out: Out,
    out_invstd: Out,
) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:
    """mean and invstd [devices, C], counts [devices]: those of all elements together, in float64; running statistics are updated.

    Source: PyTorch, batch_norm_gather_stats_with_counts; Chan, Golub and LeVeque, Updating formulae for computing sample variances (1979).
    """
    share = counts.double().view(-1, 1)
    total = share.sum()
    centres = mean.double()
    centre = (share * centres).sum(0) / total
    var = (share * (invstd.double() ** -2 - eps + (centres - centre) ** 2)).sum(0) / total
    _update(running_mean, centre, momentum)
    _update(running_var, var * (total / (total - 1)), momentum)
    return running_mean, running_var, centre, torch.rsqrt(var + eps)


@aclnn
def BatchNormReduce(self: Tensor, total: Out, squares: Out) -> tuple[Tensor, Tensor]:
    """self float32 [N, C, *]; sums and sums of squares, float32 [C]. Source: torch_npu-batch_norm_reduce.md."""
    return self.sum(_others(self)), (self * self).sum(_others(self))


@aclnn
def SyncBatchNormGatherStats(
    totals: Tensor,
    squares: Tensor,
    counts: Tensor,
    running_mean: Out,
    running_var: Out,
    momentum: Float32,
    eps: Float32,
    out: Out,
    out_invstd: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """totals and squares [devices, C] as of BatchNormReduce, counts [devices]; mean and invstd [C]; running statistics are updated.

    Source: hicann/ops-nn, aclnnSyncBatchNormGatherStats.md (the running variance is unbiased).
    """
    total = counts.sum()
    centre = totals.float().sum(0) / total
    var = squares.float().sum(0) / total - centre * centre
    _update(running_mean, centre, momentum)
    _update(running_var, var * (total / (total - 1)), momentum)
    return running_mean, running_var, centre, torch.rsqrt(var + eps)


@aclnn
def BatchNormReduceBackward(
    grad: Tensor,
    self: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    want_self: bool,
    want_weight: bool,
    want_bias: bool,
    sum_dy: Out | None,
    sum_dy_xmu: Out | None,
    grad_weight: Out | None,
    grad_bias: Out | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """grad and self [N, C, *]; sums [C] of grad and of grad (self - mean), in float32.

    Source: hicann/ops-nn, aclnnBatchNormReduceBackward.md.
    """
    wide = grad.float()
    total = wide.sum(_others(self))
    by_deviation = (wide * (self.float() - _along(self, mean))).sum(_others(self))
    return total, by_deviation, by_deviation * invstd.float(), total


@aclnn
def BatchNormElemtBackward(
    grad: Tensor,
    self: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    sum_dy: Tensor,
    sum_dy_xmu: Tensor,
    counts: Tensor,
    out: Out,
) -> Tensor:
    """The derivative with respect to self [N, C, *], in float32; sums [C] over all devices. Source: PyTorch, batch_norm_backward_elemt."""
    total = counts.sum()
    spread = _along(self, invstd)
    deviation = (self.float() - _along(self, mean)) * spread * spread * _along(self, sum_dy_xmu) / total
    result = (grad.float() - _along(self, sum_dy) / total - deviation) * spread
    return result if weight is None else result * _along(self, weight)
