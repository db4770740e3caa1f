"""The mixture of experts: by hash or by score, with a clamp in SwiGLU and one shared expert. Knows no attention and no padding.

Sources: DeepSeek-V4 technical report, section 2.1 (hash routing in the first layers, sqrt(softplus) affinity, clamp); DeepSeek-V3 technical
report (arXiv 2412.19437), eq. 12 to 20 (bias for the choice alone, balance within a sequence).
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from reference.oracles.deepseek_v4.config import HASHED, Config


class Routed(NamedTuple):
    """Of each token: `experts` int64 [batch, length, k], their `weights` [batch, length, k], and all `scores` [batch, length, experts]."""

    experts: Tensor
    weights: Tensor
    scores: Tensor


def affinity(logits: Tensor) -> Tensor:
    """Return `sqrt(ln(1 + exp(x)))`."""
    return torch.sqrt(torch.logaddexp(logits, torch.zeros_like(logits)))


def route(weights: Mapping[str, Tensor], config: Config, kind: str, hidden: Tensor, tokens: Tensor) -> Routed:
    """Return where each token of `hidden` [batch, length, d] goes: by `tid2eid[token]`, or to the k of the largest affinity plus bias.

    The weights are the affinities without the bias, divided by their sum and times `routed_scaling_factor`, either way. `weights` are those
    of `mlp.gate`. Of equal scores the lower expert is taken.
    """
    scores = affinity(functional.linear(hidden, weights["weight"]))
    if kind == HASHED:
        experts = weights["tid2eid"].long()[tokens]
    else:
        preference = scores.detach() + weights["e_score_correction_bias"]
        experts = preference.argsort(dim=-1, descending=True, stable=True)[..., : config.num_experts_per_tok]
    chosen = scores.gather(-1, experts)
    return Routed(experts, chosen / chosen.sum(-1, keepdim=True) * config.routed_scaling_factor, scores)


def swiglu(gate: Tensor, up: Tensor, limit: float) -> Tensor:
    """Return `silu(gate) up` with the gate at most `limit` and |up| at most `limit`."""
    return functional.silu(gate.clamp(max=limit)) * up.clamp(-limit, limit)


def mixture(weights: Mapping[str, Tensor], config: Config, kind: str, hidden: Tensor, tokens: Tensor) -> tuple[Tensor, Routed]:
    """Return the sum of the chosen experts, each times its weight, and of the shared one, [batch, length, d]; `weights` are those of `mlp`.

    Every expert is evaluated on every token and weighted by zero where it was not chosen: slow, and nothing to get wrong.
    """
    routed = route({n.removeprefix("gate."): w for n, w in weights.items() if n.startswith("gate.")}, config, kind, hidden, tokens)
    share = torch.zeros_like(routed.scores).scatter_add(-1, routed.experts, routed.weights)
    gate, up = (functional.linear(hidden, weights[f"shared_experts.{name}_proj.weight"]) for name in ("gate", "up"))
    total = functional.linear(swiglu(gate, up, config.swiglu_limit), weights["shared_experts.down_proj.weight"])
    for expert, (inner, outer) in enumerate(zip(weights["experts.gate_up_proj"], weights["experts.down_proj"], strict=True)):
        gate, up = functional.linear(hidden, inner).chunk(2, -1)
        total = total + share[..., expert, None] * functional.linear(swiglu(gate, up, config.swiglu_limit), outer)
    return total, routed


def balance_loss(routed: Routed, sample: Tensor) -> Tensor:
    """Return `sum_i f_i P_i` of each sample, the mean over samples: 1 where experts are loaded evenly. `sample` [batch, length], 0 is none.

    f_i is the share of the sample's tokens that went to expert i, times experts / k; P_i the mean of its share of the affinities.
    """
    count, k = routed.scores.shape[-1], routed.experts.shape[-1]
    went = torch.zeros_like(routed.scores).scatter(-1, routed.experts, 1.0) * (count / k)
    share = routed.scores / routed.scores.sum(-1, keepdim=True)
    found = [
        (went[row][of].mean(0) * share[row][of].mean(0)).sum()
        for row, ids in enumerate(sample)
        for number in ids.unique().tolist()
        if number and (of := (ids == number).to(went.device)).any()
    ]
    return torch.stack(found).mean()
