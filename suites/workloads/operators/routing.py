"""Top-k routing of a mixture of experts, from hidden states and from logits that leave no doubt. Knows no device."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.checks.choices import Choices
from harness.checks.closeness import Closeness
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs, draw_integers
from reference.oracles import matmul, routing
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype


def route(inputs: Inputs, /, *, tokens: int, width: int, experts: int, chosen: int) -> Step:
    """Route [tokens, width] through a gate; returns `experts` (int64 [tokens, chosen], best first), `weights`, `scores`.

    Near-ties may go either way here, and the weights with them; `route_apart` compares those, and their gradients.
    """
    states = inputs.normal("states", (tokens, width))
    gate = inputs.normal("gate", (experts, width), scale=width**-0.5)

    def call() -> dict[str, Tensor]:
        if inputs.golden:
            indices, weights, scores = routing.route(matmul.matmul(states, gate.T), chosen)
        else:
            indices, weights, scores = softmax_topk(F.linear(states, gate), chosen)
        return {"experts": indices, "weights": weights, "scores": scores}

    return Step(call)


def route_apart(inputs: Inputs, /, *, tokens: int, experts: int, chosen: int) -> Step:
    """Route logits that differ by 1/8 or more in each row; returns `experts` and `scores` as `route`, `out` and `grad_logits`.

    `out` is [tokens, experts]: each weight under its expert, 0 under those not chosen, so that the pairing is judged too.
    """
    routing_of = routing.route if inputs.golden else softmax_topk
    logits = inputs.given("logits", separated_logits(inputs.seed, tokens, experts).to(inputs.dtype))

    def weigh(logits: Tensor) -> Tensor:
        indices, weights, _ = routing_of(logits, chosen)
        return torch.zeros_like(logits).scatter(1, indices, weights)

    weighed = differentiate(weigh, {"logits": logits}, inputs.normal("cotangent", (tokens, experts)))

    def call() -> dict[str, Tensor]:
        indices, _, scores = routing_of(logits, chosen)
        return {"experts": indices, "scores": scores, **weighed()}

    return Step(call)


def softmax_topk(logits: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return experts, weights and scores as transformers' Qwen3-MoE does: scores in float32, weights in the dtype of the logits."""
    scores = F.softmax(logits, dim=-1, dtype=torch.float32)
    weights, experts = torch.topk(scores, k, dim=-1)
    return experts, (weights / weights.sum(dim=-1, keepdim=True)).to(logits.dtype), scores


def separated_logits(seed: int, tokens: int, experts: int) -> Tensor:
    """Return float64 [tokens, experts] in [-experts / 8, experts / 8): in each row a shuffled ladder, its rungs moved by less than half."""
    order = draw_integers(seed, "order", tokens * experts, 0, 1 << 32).reshape(tokens, experts)
    rung = np.argsort(np.argsort(order, axis=1, kind="stable"), axis=1, kind="stable")
    moved = draw_integers(seed, "moved", tokens * experts, 0, 1 << 16).reshape(tokens, experts) / 2**17
    return torch.from_numpy((rung + moved) / 4 - experts / 8)


CASES = (
    *in_each_dtype(
        route,
        {"routing": {"tokens": 127, "width": 576, "experts": 128, "chosen": 8}},
        (SpecialValues(), Choices(chosen="experts", scores="scores"), Closeness(only=("scores",))),
    ),
    *in_each_dtype(
        route_apart,
        {"routing-apart": {"tokens": 127, "experts": 32, "chosen": 8}},
        (SpecialValues(), Choices(chosen="experts", scores="scores"), Closeness()),
    ),
)
