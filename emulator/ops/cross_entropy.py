"""Cross entropy fused from logits or hidden states, vocabulary-parallel too, and its gradients. Knows no loss that ATen has."""

import torch
from torch import Tensor

from emulator.operator import Out, aclnn


@aclnn
def CrossEntropyLoss(
    self: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    scale: float,
    return_zloss: bool,
    out: Out,
    log_prob: Out,
    zloss: Out | None,
    lse: Out | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """self [N, C], target [N], weight float32 [C]; all in float32, out [N] or [1]. Source: torch_npu-npu_cross_entropy_loss.md.

    A negative `ignore_index` ignores nothing, and `scale` and `return_zloss` are documented as not supported yet.
    """
    if scale or return_zloss:
        raise NotImplementedError("CrossEntropyLoss: the z-loss is documented as not supported")
    wide = self.float()
    loss = torch.nn.functional.cross_entropy(
        wide, target, weight, reduction=reduction, ignore_index=ignore_index, label_smoothing=label_smoothing
    )
    return loss.reshape(out.shape), torch.log_softmax(wide, -1), zloss, lse


@aclnn
def CrossEntropyLossGrad(
    grad: Tensor,
    log_prob: Tensor,
    target: Tensor,
    weight: Tensor | None,
    grad_zloss: Tensor | None,
    lse: Tensor | None,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    scale: float,
    out: Out,
) -> Tensor:
    """The derivative of CrossEntropyLoss with respect to its input [N, C], in float32. Source: torch_npu-npu_cross_entropy_loss.md."""
    if scale or grad_zloss is not None:
        raise NotImplementedError("CrossEntropyLossGrad: the z-loss is documented as not supported")
    wide = log_prob.float()
    classes = wide.shape[-1]
    weights = torch.ones(classes) if weight is None else weight.float()
    counts = target != ignore_index
    safe = torch.where(counts, target, 0)
    chosen = weights[safe] * counts
    by_log = torch.outer(counts.float(), weights) * (-label_smoothing / classes)
    by_log.scatter_add_(1, safe[:, None], chosen[:, None] * (label_smoothing - 1))
    by_input = by_log - wide.exp() * by_log.sum(-1, keepdim=True)
    upstream = grad.float() / chosen.sum() if reduction == "mean" else grad.float()
    return by_input * upstream.reshape(-1, 1)


@aclnn
def FusedLinearOnlineMaxSum(
    self: Tensor,
    weight: Tensor,
    target: Tensor,
    start: int,
    end: int,
    maximum: Out,
    sum_exp: Out,
    predicted: Out,
    target_mask: Out,
    masked_target: Out,
    logits: Out | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """self [N, H], weight [V, H], target [N]; this part of the vocabulary is start..end, inclusive; statistics float32 [N].

    target_mask: uint8 [(N + 7) // 8], a bit a target, the first the highest, set where the target lies outside (and beyond N).
    Source: torch_npu-npu_fused_linear_online_max_sum.md.
    """
    product = self.float() @ weight.float().T
    highest = product.amax(-1)
    below = product - highest[:, None]
    outside = (target < start) | (target > end)
    local = torch.where(outside, 0, target - start)
    chosen = torch.where(outside, 0.0, below.gather(1, local[:, None].long())[:, 0])
    padding = outside.new_ones(-len(outside) % 8)
    bits = torch.cat((outside, padding)).view(-1, 8).int() << torch.arange(7, -1, -1)
    return highest, below.exp().sum(-1), chosen, bits.sum(-1), local, product


@aclnn
def FusedCrossEntropyLossWithMaxSum(
    maximum: Tensor,
    sum_exp: Tensor,
    predicted: Tensor,
    label_smoothing: float,
    self: Tensor | None,
    weight: Tensor | None,
    logits: Tensor | None,
    out: Out,
    softmax: Out | None,
) -> tuple[Tensor, Tensor | None]:
    """maximum, sum_exp, predicted: float32 [N], reduced over all parts; logits [N, V]; out [N], softmax float32 [N, V].

    Source: torch_npu-npu_fused_cross_entropy_loss_with_max_sum.md: no label smoothing, no self and weight.
    """
    if label_smoothing or self is not None or weight is not None:
        raise NotImplementedError("FusedCrossEntropyLossWithMaxSum: label_smoothing, input and weight are documented as not supported")
    loss = sum_exp.log() - predicted
    return loss, None if logits is None else (logits.float() - maximum[:, None]).exp() / sum_exp[:, None]


@aclnn
def FusedLinearCrossEntropyLossGrad(
    grad: Tensor,
    self: Tensor,
    weight: Tensor,
    target_mask: Tensor,
    masked_target: Tensor,
    label_smoothing: float,
    maximum: Tensor | None,
    sum_exp: Tensor | None,
    softmax: Tensor | None,
    grad_self: Out,
    grad_weight: Out,
) -> tuple[Tensor, Tensor]:
    """grad float32 [N]; the rest as in FusedLinearOnlineMaxSum and FusedCrossEntropyLossWithMaxSum; gradients of self and weight.

    Source: torch_npu-npu_fused_linear_cross_entropy_loss_with_max_sum_backward.md: no label smoothing.
    """
    if label_smoothing:
        raise NotImplementedError("FusedLinearCrossEntropyLossGrad: label_smoothing is documented as not supported")
    if softmax is not None:
        by_logits = softmax.clone()
    elif maximum is not None and sum_exp is not None:
        by_logits = (self.float() @ weight.float().T - maximum[:, None]).exp() / sum_exp[:, None]
    else:
        raise ValueError("FusedLinearCrossEntropyLossGrad: needs softmax, or logits_max and sum_exp_logits")
    outside = (target_mask[:, None].int() >> torch.arange(7, -1, -1) & 1).view(-1)[: len(grad)]
    by_logits.scatter_add_(1, masked_target[:, None].long(), (outside - 1)[:, None].to(by_logits.dtype))
    by_logits *= grad[:, None]
    return by_logits @ weight.float(), by_logits.T @ self.float()
