"""torch_npu's ways of tokens to their experts and back, forward and backward. Knows no device."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from harness.case import Scalar, Step
from harness.inputs import Inputs, draw_integers
from reference.oracles.fused import moe as oracle
from reference.oracles.fused import quantisation
from suites.workloads.operators.fused.drawing import experts_of_tokens, shuffled, whole
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import copies, on_npu
from suites.workloads.operators.fused.quantisation import stored


def permute(inputs: Inputs, /, *, tokens: int, width: int, experts: int, chosen: int, kept: int | None = None) -> Step:
    """Put tokens by expert; returns `rows`, `index`, `grad_tokens`."""
    operator = inputs.fused("npu_moe_token_permute", oracle.moe_token_permute)
    indices = experts_of_tokens(inputs, "experts", tokens, experts, chosen)

    def call(tokens: Tensor) -> dict[str, Tensor]:
        return dict(zip(("rows", "index"), operator(tokens, indices, kept), strict=True))

    cotangent = inputs.normal("cotangent", (kept or tokens * chosen, width))
    return Step(with_gradients(call, {"tokens": inputs.normal("tokens", (tokens, width))}, {"rows": cotangent}))


def unpermute(inputs: Inputs, /, *, tokens: int, width: int, experts: int, chosen: int, rows: int) -> Step:
    """Weigh and add up `rows` rows by expert; returns `out`, `grad_permuted`, `grad_probs`."""
    operator = inputs.fused("npu_moe_token_unpermute", oracle.moe_token_unpermute)
    went = inputs.given("index", oracle.by_expert(_experts(inputs, tokens, experts, chosen))[1].int())
    operands = {"permuted": inputs.normal("permuted", (rows, width)), "probs": inputs.normal("probs", (tokens, chosen), 0.1, 0.5)}

    def call(permuted: Tensor, probs: Tensor) -> dict[str, Tensor]:
        return {"out": operator(permuted, went, probs)}

    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (tokens, width))}))


def _experts(inputs: Inputs, tokens: int, experts: int, chosen: int) -> Tensor:
    return torch.from_numpy(shuffled(inputs.seed, "experts", tokens, experts)[:, :chosen].copy())


def _map(inputs: Inputs, tokens: int, experts: int, chosen: int) -> Tensor:
    return torch.zeros(tokens, experts, dtype=torch.bool).scatter(1, _experts(inputs, tokens, experts, chosen), True)


def permute_by_map(inputs: Inputs, /, *, tokens: int, width: int, experts: int, chosen: int, capacity: int = 0) -> Step:
    """Put tokens by a routing map; returns `rows`, `probs`, `index` and gradients."""
    operator = inputs.fused("npu_moe_token_permute_with_routing_map", oracle.moe_token_permute_with_routing_map)
    routing, count = inputs.given("map", _map(inputs, tokens, experts, chosen)), capacity * experts or tokens * chosen

    def call(tokens: Tensor, probs: Tensor) -> dict[str, Tensor]:
        found = operator(tokens, routing, probs=probs, num_out_tokens=count, drop_and_pad=capacity > 0)
        return dict(zip(("rows", "row_probs", "index"), found, strict=True))

    operands = {"tokens": inputs.normal("tokens", (tokens, width)), "probs": inputs.normal("probs", (tokens, experts), 0.1, 0.5)}
    cotangents = {"rows": inputs.normal("cotangent", (count, width)), "row_probs": inputs.normal("of_probs", (count,))}
    return Step(with_gradients(call, operands, cotangents))


def unpermute_by_map(inputs: Inputs, /, *, tokens: int, width: int, experts: int, chosen: int) -> Step:
    """Bring rows back by a routing map; returns `out`, `grad_permuted`, `grad_probs`."""
    operator = inputs.fused("npu_moe_token_unpermute_with_routing_map", oracle.moe_token_unpermute_with_routing_map)
    host = _map(inputs, tokens, experts, chosen)
    expert, token = host.T.nonzero(as_tuple=True)
    index = inputs.given("index", torch.sort(token * experts + expert).indices.int())
    routing = inputs.given("map", host)

    def call(permuted: Tensor, probs: Tensor) -> dict[str, Tensor]:
        return {"out": operator(permuted, index, [tokens, width], probs=probs, routing_map=routing)}

    permuted = inputs.normal("permuted", (tokens * chosen, width))
    operands = {"permuted": permuted, "probs": inputs.normal("probs", (tokens, experts), 0.1, 0.5)}
    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (tokens, width))}))


def init(inputs: Inputs, /, *, tokens: int, width: int, experts: int, chosen: int, active: int) -> Step:
    """Put tokens by expert (first version); returns `rows`, `index`, `experts`."""
    operator = inputs.fused("npu_moe_init_routing", oracle.moe_init_routing)
    x, expert_idx = inputs.normal("x", (tokens, width)), experts_of_tokens(inputs, "experts", tokens, experts, chosen)
    row_idx = inputs.given("row_idx", torch.arange(tokens * chosen, dtype=torch.int32).view(chosen, tokens).T.contiguous())
    return Step(lambda: dict(zip(("rows", "index", "experts"), operator(x, row_idx, expert_idx, active), strict=True)))


def init_v2(
    inputs: Inputs,
    /,
    *,
    tokens: int,
    width: int,
    experts: int,
    chosen: int,
    active: int = -1,
    capacity: int = -1,
    counted: int = 1,
    whence: int = 0,
    start: int = 0,
    end: int = 0,
) -> Step:
    """Put tokens by expert (second version); returns `rows`, `index`, `counts`."""
    operator = inputs.fused("npu_moe_init_routing_v2", oracle.moe_init_routing_v2)
    x, expert_idx = inputs.normal("x", (tokens, width)), experts_of_tokens(inputs, "experts", tokens, experts, chosen)
    options: dict[str, Any] = {
        "active_num": active, "expert_capacity": capacity, "expert_num": experts, "drop_pad_mode": int(capacity > 0),
        "expert_tokens_num_type": counted, "row_idx_type": whence, "active_expert_range": [start, end or experts],
        "expert_tokens_num_flag": True,
    }  # fmt: skip

    def call() -> dict[str, Tensor]:
        rows, index, counts = operator(x, expert_idx, **options)[:3]
        if end:  # behind the rows of the active experts anything may lie
            rows = rows[: int(counts.sum())]
        return {"rows": rows, "index": index, "counts": counts}

    return Step(call)


def init_quant(inputs: Inputs, /, *, tokens: int, width: int, experts: int, chosen: int, version: int) -> Step:
    """Put tokens by expert and quantise each row; returns `rows` (int8), `index`, `counts`, `scale`."""
    x, expert_idx = inputs.normal("x", (tokens, width)), experts_of_tokens(inputs, "experts", tokens, experts, chosen)

    def plain(x: Tensor, expert_idx: Tensor, **_: object) -> tuple[Tensor, ...]:
        rows, index, counts = oracle.moe_init_routing_v2(x, expert_idx, expert_num=experts)
        return (*quantisation.dynamic_quant(rows)[:1], index, counts, quantisation.dynamic_quant(rows)[1])

    def plain_first(x: Tensor, expert_idx: Tensor, **_: object) -> tuple[Tensor | None, ...]:
        rows, index, counts, scale = plain(x, expert_idx)
        return rows, index, counts.int(), None, scale

    second = inputs.fused("npu_moe_init_routing_v2", plain)
    first = inputs.fused("npu_moe_init_routing_quant", plain_first)
    options: dict[str, Any] = {"expert_num": experts, "quant_mode": 1}
    ranged = {"active_expert_range": [0, experts], "expert_tokens_num_type": 1, "expert_tokens_num_flag": True}

    def call() -> dict[str, Tensor]:
        if version == 1:
            rows, index, counts, _, scale = first(x, expert_idx, active_num=0, expert_tokens_num_mode=2, **options)
        else:
            rows, index, counts, scale = second(x, expert_idx, **options, **ranged)
        return {"rows": stored(inputs, rows), "index": index, "counts": counts, "scale": scale}

    return Step(call)


def count(inputs: Inputs, /, *, rows: int, experts: int) -> Step:
    """Count rows up to each expert; returns `counts`."""
    operator = inputs.fused("npu_moe_compute_expert_tokens", oracle.moe_compute_expert_tokens)
    drawn = torch.from_numpy(draw_integers(inputs.seed, "experts", rows, 0, experts)).int().sort().values
    ordered = inputs.given("experts", drawn)
    return Step(lambda: {"counts": operator(ordered, experts)})


def re_route(inputs: Inputs, /, *, ranks: int, experts: int, most: int, width: int) -> Step:
    """Put the tokens of several ranks by expert; returns `rows`, `scales`, `index`, `counts`."""
    operator = inputs.fused("npu_moe_re_routing", oracle.moe_re_routing)
    counts = torch.from_numpy(draw_integers(inputs.seed, "counts", ranks * experts, 0, most + 1)).view(ranks, experts).int()
    per_rank, total = inputs.given("counts", counts), int(counts.sum())
    tokens, scales = inputs.normal("tokens", (total, width)), inputs.normal("scales", (total,), 0.1, 1.0, torch.float32)
    names = ("rows", "scales", "index", "counts")
    return Step(lambda: dict(zip(names, operator(tokens, per_rank, per_token_scales=scales), strict=True)))


def finalize(inputs: Inputs, /, *, tokens: int, width: int, experts: int, chosen: int, mode: int, full: bool) -> Step:
    """Weigh and add up the rows of each token, with skips and biases when `full`; returns `out`."""
    operator = inputs.fused("npu_moe_finalize_routing", oracle.moe_finalize_routing)
    rows, scales = inputs.normal("rows", (tokens * chosen, width)), inputs.normal("scales", (tokens, chosen), 0.1, 0.5)
    skips = [inputs.normal(name, (tokens, width)) if full else None for name in ("skip1", "skip2")]
    bias = inputs.normal("bias", (experts, width)) if full else None
    index = inputs.given("index", torch.from_numpy(shuffled(inputs.seed, "index", 1, tokens * chosen)[0]).int())
    expert_idx = whole(inputs, "experts", (tokens, chosen), 0, experts)
    return Step(lambda: {"out": operator(rows, *skips, bias, scales, index, expert_idx, drop_pad_mode=mode)})


MANY: Mapping[str, Scalar] = {"tokens": 65, "width": 128, "experts": 16, "chosen": 4}
ODD: Mapping[str, Scalar] = {"tokens": 17, "width": 65, "experts": 7, "chosen": 3}

CASES = (
    *on_npu(
        permute,
        {"npu_moe_token_permute": MANY, "npu_moe_token_permute-odd": ODD, "npu_moe_token_permute-dropped": {**ODD, "kept": 40}},
        checks=copies("rows"),
    ),
    *on_npu(unpermute, {"npu_moe_token_unpermute": {**MANY, "rows": 260}, "npu_moe_token_unpermute-dropped": {**ODD, "rows": 40}}),
    *on_npu(
        permute_by_map,
        {
            "npu_moe_token_permute_with_routing_map": MANY,
            "npu_moe_token_permute_with_routing_map-odd": ODD,
            "npu_moe_token_permute_with_routing_map-capacity": {**ODD, "capacity": 5},
        },
        checks=copies("rows", "row_probs"),
    ),
    *on_npu(unpermute_by_map, {"npu_moe_token_unpermute_with_routing_map": MANY, "npu_moe_token_unpermute_with_routing_map-odd": ODD}),
    *on_npu(
        init, {"npu_moe_init_routing": {**MANY, "active": 65}, "npu_moe_init_routing-active": {**ODD, "active": 9}}, checks=copies("rows")
    ),
    *on_npu(
        init_v2,
        {
            "npu_moe_init_routing_v2": MANY,
            "npu_moe_init_routing_v2-active": {**ODD, "active": 9},
            "npu_moe_init_routing_v2-whence": {**ODD, "whence": 1, "counted": 0},
            "npu_moe_init_routing_v2-range": {**ODD, "start": 2, "end": 5},
            "npu_moe_init_routing_v2-capacity": {**ODD, "capacity": 6},
        },
        checks=copies("rows"),
    ),
    *on_npu(init_quant, {"npu_moe_init_routing_quant": {**MANY, "version": 1}, "npu_moe_init_routing_v2-quantised": {**ODD, "version": 2}}),
    *on_npu(count, {"npu_moe_compute_expert_tokens": {"rows": 129, "experts": 17}}, ("float32",)),
    *on_npu(re_route, {"npu_moe_re_routing": {"ranks": 3, "experts": 5, "most": 7, "width": 65}}, checks=copies("rows", "scales")),
    *on_npu(
        finalize,
        {
            "npu_moe_finalize_routing": {**MANY, "mode": 2, "full": False},
            "npu_moe_finalize_routing-full": {**ODD, "mode": 0, "full": True},
        },
    ),
)
