"""Losses that ATen has, and their backwards. Knows no fused loss."""

from typing import Any

import torch
from torch import Tensor

from emulator.operator import Ints, Out, aclnn, plain
from emulator.widening import widened

aten = torch.ops.aten

_MEAN = 1

plain("BinaryCrossEntropy", "tttio", aten.binary_cross_entropy.default)
plain("BinaryCrossEntropyBackward", "ttttio", aten.binary_cross_entropy_backward.default)
plain("BinaryCrossEntropyWithLogits", "ttttio", aten.binary_cross_entropy_with_logits.default)
plain("L1Loss", "ttio", aten.l1_loss.default)
plain("MseLoss", "ttio", aten.mse_loss.default)
plain("MseLossBackward", "tttio", aten.mse_loss_backward.default)
plain("SmoothL1Loss", "ttifo", aten.smooth_l1_loss.default)
plain("SmoothL1LossBackward", "tttifo", aten.smooth_l1_loss_backward.default)
plain("SoftMarginLoss", "ttio", aten.soft_margin_loss.default)
plain("SoftMarginLossBackward", "tttio", aten.soft_margin_loss_backward.default)
plain(
    "MultilabelMarginLoss",
    "ttioo",
    widened(lambda self, target, *rest: aten.multilabel_margin_loss_forward.default(self, target.long(), *rest)),
)


def _weight(weight: Tensor) -> Tensor | None:
    """Return the weight, or None where every class weighs the same: torch_npu fills in ones, while the CPU then counts exactly."""
    return None if bool((weight == 1).all()) else weight


def _classes(target: Tensor) -> Tensor:
    """Return the classes in a type that the CPU takes; the device takes int32, too."""
    return target.long() if target.dtype == torch.int32 else target


@aclnn
def NLLLoss(self: Tensor, target: Tensor, weight: Tensor, reduction: int, ignore_index: int, out: Out, total_weight: Out) -> Any:
    return aten.nll_loss_forward.default(self, _classes(target), _weight(weight), reduction, ignore_index)


@aclnn
def NLLLossBackward(
    grad: Tensor, self: Tensor, target: Tensor, weight: Tensor, reduction: int, ignore_index: int, total_weight: Tensor, out: Out
) -> Any:
    return aten.nll_loss_backward.default(grad, self, _classes(target), _weight(weight), reduction, ignore_index, total_weight)


@aclnn
def NLLLoss2d(self: Tensor, target: Tensor, weight: Tensor, reduction: int, ignore_index: int, out: Out, total_weight: Out) -> Any:
    return aten.nll_loss2d_forward.default(self, _classes(target), _weight(weight), reduction, ignore_index)


@aclnn
def NLLLoss2dBackward(
    grad: Tensor, self: Tensor, target: Tensor, weight: Tensor, reduction: int, ignore_index: int, total_weight: Tensor, out: Out
) -> Any:
    return aten.nll_loss2d_backward.default(grad, self, _classes(target), _weight(weight), reduction, ignore_index, total_weight)


def _each(grad: Tensor, count: int, reduction: int) -> Tensor:
    """Return the gradient that every element's loss gets, as PyTorch's autograd does: a mean's is divided first."""
    return grad / count if reduction == _MEAN else grad


@aclnn
def L1LossBackward(grad: Tensor, self: Tensor, target: Tensor, reduction: int, out: Out) -> Tensor:
    difference = self - target
    return _each(grad, difference.numel(), reduction) * difference.sgn()


@aclnn
def BinaryCrossEntropyWithLogitsBackward(
    grad: Tensor, self: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None, reduction: int, out: Out
) -> Tensor:
    if pos_weight is None:
        result = torch.sigmoid(self) - target
    else:
        positive = pos_weight * target
        result = (positive + 1 - target) * torch.sigmoid(self) - positive
    result = result * grad
    if weight is not None:
        result = result * weight
    return result / self.numel() if reduction == _MEAN else result


@aclnn
def KlDiv(self: Tensor, target: Tensor, reduction: int, log_target: bool, out: Out) -> Any:
    return aten.kl_div.default(self, target, reduction, log_target=log_target)


@aclnn
def KlDivBackward(grad: Tensor, self: Tensor, target: Tensor, reduction: int, log_target: bool, out: Out) -> Any:
    wide, goal = aten.broadcast_tensors.default([self, target])
    result = -_each(grad, wide.numel(), reduction) * (goal.exp() if log_target else goal)
    return result.sum_to_size(self.shape)


@aclnn
def KlDivTargetBackward(grad: Tensor, self: Tensor, target: Tensor, reduction: int, log_target: bool, out: Out) -> Any:
    wide, goal = aten.broadcast_tensors.default([self, target])
    each = _each(grad, wide.numel(), reduction)
    if log_target:
        result = each * (goal - wide) * goal.exp() + each * goal.exp()
    else:
        result = each * goal / goal + torch.xlogy(each, goal) - each * wide
    return result.sum_to_size(target.shape)


@aclnn
def CtcLoss(
    log_probs: Tensor, targets: Tensor, inputs: Ints, lengths: Ints, blank: int, zero_infinity: bool, out: Out, log_alpha: Out
) -> tuple[Tensor, Tensor]:
    loss, alpha = aten._ctc_loss.default(log_probs, targets, inputs, lengths, blank, zero_infinity)
    wide = log_alpha.new_zeros(log_alpha.shape)  # torch_npu gives the last dimension more than it needs
    wide[..., : alpha.shape[-1]] = alpha
    return loss, wide


@aclnn
def CtcLossBackward(
    grad: Tensor,
    log_probs: Tensor,
    targets: Tensor,
    inputs: Ints,
    lengths: Ints,
    loss: Tensor,
    log_alpha: Tensor,
    blank: int,
    zero_infinity: bool,
    out: Out,
) -> Any:
    alpha = log_alpha[..., : 2 * max(lengths, default=0) + 1]
    return aten._ctc_loss_backward.default(grad, log_probs, targets, inputs, lengths, loss, alpha, blank, zero_infinity)
