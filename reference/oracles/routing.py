"""Top-k routing of a mixture of experts: softmax scores, k times the largest, renormalised. Knows no dtype or device.

Source: Shazeer et al. 2017, eq. 3 to 5, with the order of Qwen3-MoE and DeepSeek: softmax over all experts first, then the choice,
then the chosen weights divided by their sum.
"""

import torch
from torch import Tensor

from reference.oracles.softmax import softmax


def route(logits: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return `experts` (int64 [tokens, k], best first), `weights` ([tokens, k], rows sum to 1), `scores` ([tokens, experts]).

    Of equal scores the lowest index is chosen first.
    """
    scores = softmax(logits, -1)
    left, chosen = scores.detach().clone(), []
    for _ in range(k):
        best = _first_largest(left)
        chosen.append(best)
        left = left.scatter(-1, best[:, None], -1.0)
    experts = torch.stack(chosen, dim=-1)
    weights = scores.gather(-1, experts)
    return experts, weights / weights.sum(-1, keepdim=True), scores


def _first_largest(scores: Tensor) -> Tensor:
    """The lowest index of the maximum of each row: argmax promises no particular one."""
    index = torch.arange(scores.shape[-1], device=scores.device)
    return torch.where(scores == scores.amax(-1, keepdim=True), index, scores.shape[-1]).amin(-1)
