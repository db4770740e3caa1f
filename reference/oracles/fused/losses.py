"""Cross-entropies, also over a vocabulary in parts, and masked softmaxes. Knows no device.

Sources: torch.nn.functional.cross_entropy's page (weights, smoothing, reductions); Megatron-LM (vocabulary in parts); Liu et al. 2021
(Swin: relative position bias); pages of npu_cross_entropy_loss, npu_fused_linear_online_max_sum, npu_fused_cross_entropy_loss_with_max_sum,
npu_fused_linear_cross_entropy_loss_with_max_sum_backward and npu_masked_softmax_with_rel_pos_bias.
"""

import torch
from torch import Tensor

from reference.oracles.fused.widening import wide
from reference.oracles.softmax import log_sum_exp, softmax


def cross_entropy_loss(
    logits: Tensor, target: Tensor, weight: Tensor | None, *, reduction: str, ignore_index: int, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    """Return the loss and `log softmax(logits)` of [tokens, classes].

    `loss_i = -w[t] (1 - s) logp[i, t] - s / classes sum_c w[c] logp[i, c]`, 0 where the target is `ignore_index`; "mean" divides by the
    sum of the weights of the targets that count.
    """
    log_prob = wide(logits) - log_sum_exp(wide(logits), -1)[:, None]
    weights = torch.ones_like(log_prob[0]) if weight is None else weight
    counts = target != ignore_index
    chosen = target.masked_fill(~counts, 0)
    plain = -weights[chosen] * log_prob.gather(1, chosen[:, None]).squeeze(1)
    smooth = -(weights * log_prob).sum(1) / logits.shape[1]
    losses = ((1 - label_smoothing) * plain + label_smoothing * smooth).masked_fill(~counts, 0.0)
    if reduction == "none":
        return losses.to(logits.dtype), log_prob.to(logits.dtype)
    total = losses.sum() if reduction == "sum" else losses.sum() / weights[chosen].masked_fill(~counts, 0.0).sum()
    return total.reshape(1).to(logits.dtype), log_prob.to(logits.dtype)


def linear_online_max_sum(hidden: Tensor, table: Tensor, target: Tensor, first: int, last: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return, of the logits `hidden table^T` of words `first` to `last`, maximum, sum of exponentials, and the target's logit minus the
    maximum (0 minus it where the target is another part's), in float32 [tokens]; and the logits.
    """
    logits = hidden @ table.T
    top = wide(logits).amax(-1)
    inside = (target >= first) & (target <= last)
    picked = wide(logits).gather(1, (target - first).masked_fill(~inside, 0)[:, None]).squeeze(1)
    return top, torch.exp(wide(logits) - top[:, None]).sum(-1), picked - top, logits


def parallel_cross_entropy(top: Tensor, total: Tensor, predicted: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss `log total - predicted` (predicted: the target's logit minus the maximum) and the softmax of this part's logits."""
    return torch.log(total) - predicted, (torch.exp(wide(logits) - top[:, None]) / total[:, None]).to(logits.dtype)


def masked_softmax_with_rel_pos_bias(x: Tensor, mask: Tensor | None, bias: Tensor, scale: float) -> Tensor:
    """Return `softmax(scale x + mask + bias)` of [batch, windows, heads, s1, s2], mask [windows, s1, s2], bias [heads, s1, s2]."""
    scores = wide(x) * scale + wide(bias)
    return softmax(scores if mask is None else scores + wide(mask)[:, None], -1).to(x.dtype)
