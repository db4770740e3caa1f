"""torch_npu's lightning indexer and sparse attention, forward and backward. Knows no device."""

from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles.fused import sparse_attention as oracle
from suites.workloads.operators.fused.attention_infer import numbers
from suites.workloads.operators.fused.drawing import shuffled, whole
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import HALVES, on_npu

INDEXER = {"sparse_mode": 3, "layout_query": "TND", "layout_key": "TND"}


def ends_of(inputs: Inputs, name: str, lengths: str) -> tuple[int, Tensor]:
    """Return how many tokens there are, and the cumulative ends on the device (int32)."""
    ends = list(accumulate(numbers(lengths)))
    return ends[-1], inputs.given(name, torch.tensor(ends, dtype=torch.int32))


def indexer(inputs: Inputs, /, *, lengths: str, key_lengths: str, heads: int, width: int, count: int) -> Step:
    """Choose the best keys of each query; returns `indices` and `scores` as a set of pairs, and gradients of the scores.

    Queries and keys are small integers, so that scores are exact and ties go to the lower key on all sides.
    """
    tokens, ends = ends_of(inputs, "ends", lengths)
    keys, key_ends = ends_of(inputs, "key_ends", key_lengths)

    def plain(query: Tensor, key: Tensor, weights: Tensor, **_: object) -> tuple[Tensor, Tensor]:
        return oracle.lightning_indexer(query, key, weights, ends, key_ends, count, causal=True)

    operator = inputs.fused("npu_lightning_indexer", plain)
    query, key = (
        whole(inputs, name, shape, -4, 5, inputs.dtype) for name, shape in (("query", (tokens, heads, width)), ("key", (keys, 1, width)))
    )
    weights = inputs.given("weights", torch.from_numpy(shuffled(inputs.seed, "weights", tokens, heads) + 1).to(inputs.dtype))
    options: dict[str, Any] = {**INDEXER, "actual_seq_lengths_query": ends, "actual_seq_lengths_key": key_ends, "sparse_count": count}

    def call(query: Tensor, key: Tensor, weights: Tensor) -> dict[str, Tensor]:
        indices, values = operator(query, key, weights, **options, return_value=True)
        return {"indices": indices, "scores": values}

    cotangent = inputs.normal("cotangent", (tokens, 1, count))
    operands = {"query": query, "key": key, "weights": weights}

    def run() -> dict[str, Tensor]:
        with torch.no_grad():
            found = call(**operands)
        seen = found["indices"] >= 0  # elsewhere the score is -inf
        upstream = torch.where(seen, cotangent.to(found["scores"].dtype), 0.0)
        gradients = with_gradients(lambda **leaves: {"scores": call(**leaves)["scores"]}, operands, {"scores": upstream})()
        return {"indices": found["indices"], **{name: gradient for name, gradient in gradients.items() if name != "scores"}}

    return Step(run)


def attention(inputs: Inputs, /, *, lengths: str, key_lengths: str, heads: int, width: int, rope: int, count: int, backward: bool) -> Step:
    """Attend to chosen keys; returns `out`, `top`, `total` and, with `backward`, gradients."""
    tokens, ends = ends_of(inputs, "ends", lengths)
    keys, key_ends = ends_of(inputs, "key_ends", key_lengths)

    def plain(query: Tensor, key: Tensor, _: Tensor, indices: Tensor, scale: float, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
        return oracle.sparse_flash_attention(query, key, indices, scale, options["query_rope"], options["key_rope"], ends, key_ends)

    operator = inputs.fused("npu_sparse_flash_attention", plain)
    indices = inputs.given("indices", chosen_keys(inputs.seed, numbers(lengths), numbers(key_lengths), count))
    operands = {
        "query": inputs.normal("query", (tokens, heads, width)), "key": inputs.normal("key", (keys, 1, width)),
        "query_rope": inputs.normal("query_rope", (tokens, heads, rope)), "key_rope": inputs.normal("key_rope", (keys, 1, rope)),
    }  # fmt: skip
    options: dict[str, Any] = {
        "actual_seq_lengths_query": ends, "actual_seq_lengths_kv": key_ends, "layout_query": "TND", "layout_kv": "TND", "attention_mode": 2,
        "return_softmax_lse": True,
    }  # fmt: skip

    def call(query: Tensor, key: Tensor, query_rope: Tensor, key_rope: Tensor) -> dict[str, Tensor]:
        scale = (width + rope) ** -0.5
        found = operator(query, key, key, indices, scale, query_rope=query_rope, key_rope=key_rope, **options)
        return dict(zip(("out", "top", "total"), found, strict=True))

    if not backward:
        return Step(lambda: call(**operands))
    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (tokens, heads, width))}))


def chosen_keys(seed: int, lengths: list[int], key_lengths: list[int], count: int) -> Tensor:
    """Return int32 [tokens, 1, count]: for each query some keys that it sees, in no order, and -1 beyond; the first one is always seen."""
    rows = []
    for sequence, (queries, keys) in enumerate(zip(lengths, key_lengths, strict=True)):
        for query in range(queries):
            limit = keys - queries + query + 1
            order = shuffled(seed, f"chosen{sequence}-{query}", 1, limit)[0][:count]
            rows.append(np.concatenate([order, np.full(count - len(order), -1)]))
    return torch.from_numpy(np.stack(rows)).int()[:, None]


CASES = (
    *on_npu(
        indexer,
        {
            "npu_lightning_indexer": {"lengths": "5,17,1", "key_lengths": "33,17,40", "heads": 8, "width": 64, "count": 16},
            "npu_lightning_indexer-few": {"lengths": "3,7", "key_lengths": "9,7", "heads": 4, "width": 32, "count": 12},
        },
        HALVES,
    ),
    *on_npu(
        attention,
        {
            "npu_sparse_flash_attention": {
                "lengths": "5,17,1", "key_lengths": "33,17,40", "heads": 8, "width": 64, "rope": 16, "count": 16, "backward": True,
            },
            "npu_sparse_flash_attention-wide": {
                "lengths": "3,9", "key_lengths": "65,9", "heads": 16, "width": 512, "rope": 64, "count": 32, "backward": False,
            },
        },
        HALVES,
    ),
)  # fmt: skip
