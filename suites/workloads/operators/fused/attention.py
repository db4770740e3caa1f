"""npu_fusion_attention for training: layouts, sparse modes, biases, sinks, packed sequences. Knows no device."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from harness.case import Scalar, Step
from harness.inputs import Inputs
from reference.oracles.fused import attention as oracle
from suites.workloads.operators.fused.drawing import bits
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import HALVES, on_npu


def template(inputs: Inputs) -> Tensor:
    """Give the mask that all compressed sparse modes take: [2048, 2048], true above the diagonal."""
    return inputs.given("atten_mask", torch.ones(2048, 2048, dtype=torch.bool).triu(1))


def masked(inputs: Inputs, mask: str, batch: int, queries: int, keys: int) -> dict[str, Any]:
    """Return the options of a mask by its name: none, explicit, left_up, right_down, band, random, blind (some queries see nothing)."""
    if mask == "none":
        return {}
    if mask == "explicit":
        hidden = torch.ones(queries, keys, dtype=torch.bool).triu(1)
        return {"atten_mask": inputs.given("atten_mask", hidden), "sparse_mode": 1}
    if mask in ("left_up", "right_down"):
        return {"atten_mask": template(inputs), "sparse_mode": 2 if mask == "left_up" else 3}
    if mask == "band":
        return {"atten_mask": template(inputs), "sparse_mode": 4, "pre_tockens": 17, "next_tockens": 3}
    hidden = bits(inputs, "atten_mask", (batch, 1, queries, keys), 0.4)
    if mask == "random":
        return {"atten_mask": hidden, "sparse_mode": 1, "inner_precise": 2}
    if mask == "blind":
        third = (torch.arange(queries, device=hidden.device) % 3 == 0)[:, None]
        return {"atten_mask": hidden | third, "sparse_mode": 1, "inner_precise": 2}
    raise ValueError(f"mask {mask!r} is none of none, explicit, left_up, right_down, band, random, blind")


def attention(
    inputs: Inputs, /, *, layout: str, heads: int, kv_heads: int, queries: int, keys: int, width: int, mask: str, extra: str = ""
) -> Step:
    """Attend two sequences; returns `out`, `top` and `total` (where every query sees something) and gradients.

    `extra`: "pse" (a bias), "sink" (a learned score without value) or nothing.
    """
    operator = inputs.fused("npu_fusion_attention", oracle.fusion_attention)
    operands = {
        "query": inputs.normal("query", _shape(layout, heads, queries, width)),
        "key": inputs.normal("key", _shape(layout, kv_heads, keys, width)),
        "value": inputs.normal("value", _shape(layout, kv_heads, keys, width)),
    }
    options = masked(inputs, mask, 2, queries, keys) | {"scale": width**-0.5}
    if extra == "pse":
        options["pse"] = inputs.normal("pse", (2, heads, queries, keys), scale=width**0.5)
    if extra == "sink":
        operands["sink"] = inputs.normal("sink", (heads,), dtype=torch.float32)

    def call(query: Tensor, key: Tensor, value: Tensor, sink: Tensor | None = None) -> dict[str, Tensor]:
        more = {} if sink is None else {"sink": sink}
        out, top, total = operator(query, key, value, heads, layout, **options, **more)[:3]
        return {"out": out} if mask == "blind" else {"out": out, "top": top, "total": total}

    cotangent = inputs.normal("cotangent", _shape(layout, heads, queries, width))
    return Step(with_gradients(call, operands, {"out": cotangent}))


def packed(inputs: Inputs, /, *, lengths: str, kv_lengths: str, heads: int, kv_heads: int, width: int, mask: str) -> Step:
    """Attend sequences that lie one after the other (TND); lengths are numbers with commas between. Returns as `attention`."""
    operator = inputs.fused("npu_fusion_attention", oracle.fusion_attention)
    sizes, kv_sizes = ([int(size) for size in given.split(",")] for given in (lengths, kv_lengths))
    operands = {
        "query": inputs.normal("query", (sum(sizes), heads, width)),
        "key": inputs.normal("key", (sum(kv_sizes), kv_heads, width)),
        "value": inputs.normal("value", (sum(kv_sizes), kv_heads, width)),
    }
    ends = {"actual_seq_qlen": list(accumulate(sizes)), "actual_seq_kvlen": list(accumulate(kv_sizes))}
    options = masked(inputs, mask, 1, max(sizes), max(kv_sizes)) | ends | {"scale": width**-0.5}

    def call(query: Tensor, key: Tensor, value: Tensor) -> dict[str, Tensor]:
        out, top, total = operator(query, key, value, heads, "TND", softmax_layout="TND", **options)[:3]
        return {"out": out, "top": top, "total": total}

    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (sum(sizes), heads, width))}))


def _shape(layout: str, heads: int, length: int, width: int) -> tuple[int, ...]:
    return tuple(oracle.in_layout(torch.empty(2, heads, length, width, device="meta"), layout).shape)


def _sizes(**changes: Scalar) -> Mapping[str, Scalar]:
    return {"layout": "BNSD", "heads": 4, "kv_heads": 4, "queries": 65, "keys": 65, "width": 64, "mask": "none", **changes}


CASES = (
    *on_npu(
        attention,
        {
            "npu_fusion_attention-bnsd": _sizes(queries=129, keys=127, width=80),
            "npu_fusion_attention-bsh-gqa": _sizes(layout="BSH", kv_heads=2, mask="explicit"),
            "npu_fusion_attention-sbh-causal": _sizes(layout="SBH", mask="left_up"),
            "npu_fusion_attention-bsnd-causal-mqa": _sizes(layout="BSND", kv_heads=1, mask="right_down"),
            "npu_fusion_attention-left_up-unequal": _sizes(queries=33, keys=65, mask="left_up"),
            "npu_fusion_attention-right_down-unequal": _sizes(queries=33, keys=65, mask="right_down"),
            "npu_fusion_attention-band": _sizes(queries=64, keys=65, mask="band"),
            "npu_fusion_attention-random_mask": _sizes(queries=63, keys=64, mask="random"),
            "npu_fusion_attention-blind_rows": _sizes(queries=31, keys=64, mask="blind"),
            "npu_fusion_attention-pse": _sizes(queries=33, keys=64, extra="pse"),
            "npu_fusion_attention-one_query": _sizes(queries=1, keys=257, width=128),
        },
    ),
    *on_npu(attention, {"npu_fusion_attention-sink": _sizes(queries=33, keys=64, extra="sink")}, HALVES),
    *on_npu(
        packed,
        {
            "npu_fusion_attention-tnd": {
                "lengths": "17,1,64,31", "kv_lengths": "17,33,65,31", "heads": 4, "kv_heads": 4, "width": 64, "mask": "none",
            },
            "npu_fusion_attention-tnd-causal": {
                "lengths": "1,65,33", "kv_lengths": "1,65,33", "heads": 4, "kv_heads": 2, "width": 64, "mask": "left_up",
            },
            "npu_fusion_attention-tnd-right_down": {
                "lengths": "2,33,16", "kv_lengths": "9,33,31", "heads": 4, "kv_heads": 2, "width": 64, "mask": "right_down",
            },
        },
    ),
)  # fmt: skip
