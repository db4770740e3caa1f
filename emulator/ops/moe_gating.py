"""Gates of mixtures of experts: which experts a token goes to, and with what weight. Moves no token.

Definitions: documentation of torch_npu (npu_moe_gating_top_k, ..._softmax) and of CANN (aclnnMoeGatingTopK, ...V2, ...Backward, ...Softmax,
...SoftmaxV2). Scores are computed in float32, as there. Among equal scores the expert with the lower index wins.
"""

import torch
from torch import Tensor

from emulator.operator import Out, aclnn

_SOFTMAX, _SIGMOID, _SQRT_SOFTPLUS = range(3)


def _normalised(x: Tensor, norm_type: int) -> Tensor:
    if norm_type == _SOFTMAX:
        return torch.softmax(x.float(), -1)
    if norm_type == _SIGMOID:
        return torch.sigmoid(x.float())
    if norm_type == _SQRT_SOFTPLUS:
        return torch.nn.functional.softplus(x.float()).sqrt()
    raise ValueError(f"norm_type is {norm_type}; it is 0 (softmax), 1 (sigmoid) or 2 (square root of softplus)")


def _best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of the last dimension, in falling order; equal ones in the order in which they are."""
    values, indices = torch.sort(scores, dim=-1, descending=True, stable=True)
    return values[..., :k], indices[..., :k]


def _chosen(scores: Tensor, k: int, k_group: int, group_count: int, group_select_mode: int) -> Tensor:
    """Return the indices of the k best experts in the k_group best groups. A group is as good as its best, or its two best, experts."""
    if group_count > 1:
        grouped = scores.reshape(*scores.shape[:-1], group_count, -1)
        if group_select_mode not in (0, 1):
            raise ValueError(f"group_select_mode is {group_select_mode}; it is 0 (a group's best) or 1 (the sum of its two best)")
        merit = _best(grouped, group_select_mode + 1)[0].sum(-1)
        taken = torch.zeros_like(merit, dtype=torch.bool).scatter_(-1, _best(merit, k_group)[1], True)
        scores = grouped.masked_fill(~taken.unsqueeze(-1), float("-inf")).flatten(-2)
    return _best(scores, k)[1]


def _weighed(
    norm: Tensor, experts: Tensor, renorm: int, norm_type: int, out_flag: bool, scaling: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    weights = norm.gather(-1, experts)
    if norm_type != _SOFTMAX or renorm == 1:
        weights = weights / (weights.sum(-1, keepdim=True) + eps)
    # What the documentation leaves undefined is NaN, so that nobody counts on it.
    return weights * scaling, experts, norm if out_flag else torch.full_like(norm, torch.nan)


@aclnn
def MoeGatingTopK(
    x: Tensor, bias: Tensor | None, k: int, k_group: int, group_count: int, group_select_mode: int, renorm: int, norm_type: int,
    out_flag: bool, scaling: float, eps: float, y: Out, expert_idx: Out, norm_out: Out,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """x [tokens, experts], bias [experts] (only for the choice) -> weights and experts [tokens, k], scores [tokens, experts] in float32."""
    norm = _normalised(x, norm_type)
    experts = _chosen(norm if bias is None else norm + bias.float(), k, k_group, group_count, group_select_mode)
    return _weighed(norm, experts, renorm, norm_type, out_flag, scaling, eps)


@aclnn
def MoeGatingTopKV2(
    x: Tensor, bias: Tensor | None, input_ids: Tensor | None, tid2eid: Tensor | None, k: int, k_group: int, group_count: int,
    group_select_mode: int, renorm: int, norm_type: int, out_flag: bool, scaling: float, eps: float, y: Out, expert_idx: Out, norm_out: Out,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """As MoeGatingTopK; with input_ids [tokens] and tid2eid [ids, k] the experts are looked up, not chosen (hash mode)."""
    norm = _normalised(x, norm_type)
    if input_ids is not None and tid2eid is not None:
        experts = tid2eid.long()[input_ids.long()]
    else:
        experts = _chosen(norm if bias is None else norm + bias.float(), k, k_group, group_count, group_select_mode)
    return _weighed(norm, experts, renorm, norm_type, out_flag, scaling, eps)


@aclnn
def MoeGatingTopKBackward(
    x_norm: Tensor, grad_y: Tensor, expert_idx: Tensor, renorm: int, norm_type: int, scaling: float, eps: float, out: Out
) -> Tensor:
    """x_norm [tokens, experts] is MoeGatingTopK's third result; only the sigmoid has a gradient, as on the device."""
    if norm_type != _SIGMOID:
        raise ValueError(f"norm_type is {norm_type}; the gradient is documented for 1 (sigmoid) only")
    norm, experts = x_norm.float(), expert_idx.long()
    chosen, grad = norm.gather(-1, experts), grad_y.float() * scaling
    total = chosen.sum(-1, keepdim=True) + eps
    grad_chosen = (grad - (grad * chosen / total).sum(-1, keepdim=True)) / total
    return torch.zeros_like(norm).scatter_add_(-1, experts, grad_chosen) * norm * (1 - norm)


def _finished(experts: Tensor, finished: Tensor | None, count: int) -> Tensor:
    return experts if finished is None else experts.masked_fill(finished.bool().unsqueeze(-1), count)


@aclnn
def MoeGatingTopKSoftmax(
    x: Tensor, finished: Tensor | None, k: int, y: Out, expert_idx: Out, row_idx: Out
) -> tuple[Tensor, Tensor, Tensor]:
    """x [..., experts]; rows that are finished get the number of experts as their expert; row_idx numbers the results column by column."""
    weights, experts = _best(torch.softmax(x.float(), -1), k)
    rows = torch.arange(experts.numel(), dtype=torch.int32).view(k, -1).t().reshape(experts.shape)
    return weights, _finished(experts, finished, x.shape[-1]), rows


@aclnn
def MoeGatingTopKSoftmaxV2(
    x: Tensor, finished: Tensor | None, k: int, renorm: int, softmax_flag: bool, y: Out, expert_idx: Out, softmax_result: Out
) -> tuple[Tensor, Tensor, Tensor]:
    """renorm 0: the k best of the softmax; 1: the softmax of the k best. The third result is the whole softmax if asked for, else empty."""
    scores = x.float() if renorm else torch.softmax(x.float(), -1)
    weights, experts = _best(scores, k)
    chosen = _finished(experts, finished, x.shape[-1])
    return torch.softmax(weights, -1) if renorm else weights, chosen, scores if softmax_flag else softmax_result
