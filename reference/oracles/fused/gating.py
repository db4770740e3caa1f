"""Gates of a mixture of experts: softmax or sigmoid scores, groups of experts, the k best. Knows no device.

Sources: Shazeer et al. 2017; DeepSeek-V2 and V3 technical reports (groups, bias for the choice only, scaling); pages of
npu_moe_gating_top_k, npu_moe_gating_top_k_softmax and npu_moe_gating_top_k_softmax_v2. Scores are float32; among equals the lowest
index is taken.
"""

import torch
from torch import Tensor

from reference.oracles.fused.widening import wide
from reference.oracles.softmax import softmax


def best(scores: Tensor, k: int) -> Tensor:
    """Return the int64 indices of the k largest of the last dimension, best first."""
    return torch.sort(scores.detach(), dim=-1, descending=True, stable=True).indices[..., :k]


def moe_gating_top_k_softmax(x: Tensor, finished: Tensor | None, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the k largest of `softmax(x)`, their experts (of a finished token: the number of experts), and the rows.

    x is [tokens, experts]; rows (int32 [tokens, k]) count down the columns: token t's j-th is `j * tokens + t`.
    """
    scores = softmax(wide(x), -1)
    experts = best(scores, k)
    weights = scores.gather(-1, experts).to(x.dtype)
    if finished is not None:
        experts = torch.where(finished[:, None], x.shape[-1], experts)
    tokens = x.shape[0]
    rows = torch.arange(k, device=x.device) * tokens + torch.arange(tokens, device=x.device)[:, None]
    return weights, experts.int(), rows.int()


def moe_gating_top_k_softmax_v2(x: Tensor, *, k: int, renorm: int, output_softmax: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return weights, experts and softmax; with `renorm` the k largest of x are chosen first and the softmax is over them alone."""
    scores = softmax(wide(x), -1)
    experts = best(x if renorm else scores, k)
    weights = softmax(wide(x).gather(-1, experts), -1) if renorm else scores.gather(-1, experts)
    return weights.to(x.dtype), experts.int(), scores if output_softmax and not renorm else scores[:0, 0]


def moe_gating_top_k(
    x: Tensor,
    k: int,
    *,
    bias: Tensor | None = None,
    k_group: int = 1,
    group_count: int = 1,
    group_select_mode: int = 0,
    renorm: int = 0,
    norm_type: int = 0,
    out_flag: bool = True,
    routed_scaling_factor: float = 1.0,
    eps: float = 1e-20,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return weights, experts and all scores of [tokens, experts].

    Scores are softmax (`norm_type` 0) or sigmoid (1). The choice is by score plus bias, among the experts of the `k_group` groups that
    are best by their largest (`group_select_mode` 0) or by the sum of their two largest (1). The weights are the scores without bias,
    divided by their sum (plus eps) for sigmoid or with `renorm`, times the scaling factor.
    """
    scores = softmax(wide(x), -1) if norm_type == 0 else 1 / (1 + torch.exp(-wide(x)))
    choice = scores if bias is None else scores + wide(bias)
    if group_count > 1:
        groups = torch.unflatten(choice, -1, (group_count, -1))
        merit = groups.sort(-1, descending=True).values[..., : 2 if group_select_mode else 1].sum(-1)
        kept = torch.zeros_like(merit, dtype=torch.bool).scatter(-1, best(merit, k_group), True)
        choice = groups.masked_fill(~kept[..., None], -torch.inf).flatten(-2)
    experts = best(choice, k)
    weights = scores.gather(-1, experts)
    if norm_type == 1 or renorm:
        weights = weights / (weights.sum(-1, keepdim=True) + eps)
    return (weights * routed_scaling_factor).to(x.dtype), experts.int(), scores
