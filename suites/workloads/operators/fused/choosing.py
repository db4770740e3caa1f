"""torch_npu's filter of logits before sampling, and its choice among copies of experts. Knows no device."""

import numpy as np
import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs, draw_integers
from reference.oracles.fused import choosing as oracle
from suites.workloads.operators.fused.drawing import shuffled, whole
from suites.workloads.operators.fused.listing import copies, on_npu


def words(inputs: Inputs, /, *, rows: int, count: int, by_k: bool, by_p: bool) -> Step:
    """Keep the most probable words; returns `out`. Logits are multiples of 1/4 and all different in a row."""
    operator = inputs.fused("npu_top_k_top_p", oracle.top_k_top_p)
    logits = inputs.given("logits", torch.from_numpy(shuffled(inputs.seed, "logits", rows, count) / 4).to(inputs.dtype))
    k = whole(inputs, "k", (rows,), 1, count) if by_k else None
    p = inputs.given("p", torch.from_numpy(draw_integers(inputs.seed, "p", rows, 3, 14) / 16).to(inputs.dtype)) if by_p else None
    return Step(lambda: {"out": operator(logits, p, k)})


def update(inputs: Inputs, /, *, tokens: int, chosen: int, experts: int, ranks: int, by_turns: bool) -> Step:
    """Name the copies of experts that tokens use; returns `copies`."""
    counts = draw_integers(inputs.seed, "counts", experts, 1, ranks // 2 + 1)
    table = np.concatenate([counts[:, None], shuffled(inputs.seed, "table", experts, ranks)[:, : ranks // 2]], 1)
    ids, listed = whole(inputs, "ids", (tokens, chosen), 0, experts), inputs.given("copies", torch.from_numpy(table).int())

    def plain(ids: Tensor, listed: Tensor, **options: int) -> tuple[Tensor, None]:
        if by_turns:
            return oracle.moe_update_expert_by_turns(ids, listed), None
        return oracle.moe_update_expert(ids, listed, rank=options["local_rank_id"], ranks=options["world_size"]), None

    operator = inputs.fused("npu_moe_update_expert", plain)
    options = {"balance_mode": 1} if by_turns else {"local_rank_id": 3, "world_size": ranks, "balance_mode": 0}
    return Step(lambda: {"copies": operator(ids, listed, **options)[0]})


def prune(inputs: Inputs, /, *, tokens: int, chosen: int, experts: int) -> Step:
    """Leave out experts with a small scale; returns `kept` (bool). Scales are small integers, so that their sums are exact."""
    ids, listed = whole(inputs, "ids", (tokens, chosen), 0, experts), inputs.given("copies", torch.ones(experts, 2, dtype=torch.int32))
    drawn = -np.sort(-draw_integers(inputs.seed, "scales", tokens * chosen, 1, 16).reshape(tokens, chosen), axis=1)
    scales = inputs.given("scales", torch.from_numpy(drawn).to(inputs.dtype))
    threshold = inputs.given("threshold", torch.arange(chosen, 0, -1).float() / 16 + 1 / 128)
    active = inputs.given("active", torch.arange(tokens) < tokens - 2)

    def plain(ids: Tensor, listed: Tensor, *, expert_scales: Tensor, pruning_threshold: Tensor, **_: object) -> tuple[None, Tensor]:
        return None, oracle.kept_experts(expert_scales, pruning_threshold, active)

    operator = inputs.fused("npu_moe_update_expert", plain)
    options = {"expert_scales": scales, "pruning_threshold": threshold, "active_mask": active, "balance_mode": 1}
    return Step(lambda: {"kept": operator(ids, listed, **options)[1]})


WORDS = {"rows": 9, "count": 33}
EXPERTS = {"tokens": 33, "chosen": 4, "experts": 16}

CASES = (
    *on_npu(
        words,
        {
            "npu_top_k_top_p": {**WORDS, "by_k": True, "by_p": True},
            "npu_top_k_top_p-k": {**WORDS, "by_k": True, "by_p": False},
            "npu_top_k_top_p-p": {**WORDS, "by_k": False, "by_p": True},
        },
        checks=copies("out"),
    ),
    *on_npu(update, {"npu_moe_update_expert-rank": {**EXPERTS, "ranks": 8, "by_turns": False}}, ("float32",)),
    *on_npu(update, {"npu_moe_update_expert-turns": {**EXPERTS, "ranks": 8, "by_turns": True}}, ("float32",)),
    *on_npu(prune, {"npu_moe_update_expert-pruned": EXPERTS}, ("float32", "bfloat16")),
)
