"""Which words, and which copies of experts, remain. Knows no device.

Sources: Holtzman et al. 2020 (nucleus sampling); pages of npu_top_k_top_p and npu_moe_update_expert.
"""

import math

import torch
from torch import Tensor

from reference.oracles.fused.widening import wide
from reference.oracles.softmax import softmax


def top_k_top_p(logits: Tensor, p: Tensor | None, k: Tensor | None) -> Tensor:
    """Return the logits [rows, words] that stay, -inf elsewhere: first the k largest of a row, then of these the fewest that are
    together more probable than p, at least one.
    """
    ordered, place = torch.sort(wide(logits), dim=-1, stable=True)
    if k is not None:
        ordered = ordered.masked_fill(ordered < ordered.gather(1, (ordered.shape[1] - k.long())[:, None]), -math.inf)
    if p is not None:
        out = torch.cumsum(softmax(ordered, -1), -1) <= 1 - wide(p)[:, None]
        out[:, -1] = False
        ordered = ordered.masked_fill(out, -math.inf)
    return torch.full_like(ordered, -math.inf).scatter(1, place, ordered).to(logits.dtype)


def moe_update_expert(experts: Tensor, copies: Tensor, *, rank: int, ranks: int) -> Tensor:
    """Return for each expert the copy that rank `rank` of `ranks` uses; `copies` [experts, 1 + most] is how many there are, then which."""
    counts = copies[:, 0][experts]
    each = torch.div(ranks + counts - 1, counts, rounding_mode="floor")
    return copies[experts, torch.div(torch.full_like(each, rank), each, rounding_mode="floor") + 1]


def moe_update_expert_by_turns(experts: Tensor, copies: Tensor) -> Tensor:
    """Return for each expert the copy of the token's turn: token i uses copy `i mod count`."""
    token = torch.arange(experts.shape[0], device=experts.device)[:, None]
    return copies[experts, token % copies[:, 0][experts] + 1]


def kept_experts(scales: Tensor, threshold: Tensor, active: Tensor) -> Tensor:
    """Return true where a scale [tokens, chosen] is at least the column's share of the token's sum, and the token active."""
    return (wide(scales) >= wide(scales).sum(-1, keepdim=True) * threshold) & active[:, None]
