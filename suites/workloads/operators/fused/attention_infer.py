"""torch_npu's attentions for inference: prompts, single tokens, pages, packed batches, and their merging. Knows no device."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.case import Scalar, Step
from harness.inputs import Inputs
from reference.oracles.fused import attention_infer as oracle
from reference.oracles.fused.attention import in_layout
from suites.workloads.operators.fused.attention import template
from suites.workloads.operators.fused.drawing import bits, shuffled
from suites.workloads.operators.fused.listing import HALVES, on_npu

PAGE = 16


def numbers(text: str) -> list[int]:
    """Return the numbers of "3,1,4"."""
    return [int(number) for number in text.split(",")]


def operands(inputs: Inputs, layout: str, batch: int, heads: int, kv_heads: int, queries: int, keys: int, width: int) -> list[Tensor]:
    """Draw query, key and value of a layout."""
    made = []
    for name, n, length in (("query", heads, queries), ("key", kv_heads, keys), ("value", kv_heads, keys)):
        shape = in_layout(torch.empty(batch, n, length, width, device="meta"), layout).shape
        made.append(inputs.normal(name, tuple(shape)))
    return made


def _mask(inputs: Inputs, mask: str, queries: int, keys: int) -> dict[str, Any]:
    if mask == "none":
        return {}
    if mask == "random":
        return {"atten_mask": bits(inputs, "atten_mask", (2, 1, queries, keys), 0.4), "sparse_mode": 1}
    modes = {
        "left_up": {"sparse_mode": 2},
        "right_down": {"sparse_mode": 3},
        "band": {"sparse_mode": 4, "pre_tokens": 17, "next_tokens": 3},
    }
    return {"atten_mask": template(inputs), **modes[mask]}


def score(
    inputs: Inputs,
    /,
    *,
    layout: str,
    heads: int,
    kv_heads: int,
    queries: int,
    keys: int,
    width: int,
    mask: str,
    kv_lengths: str = "",
    pse: bool = False,
) -> Step:
    """Attend two padded sequences by npu_fused_infer_attention_score; returns `out`, `lse`."""
    operator = inputs.fused("npu_fused_infer_attention_score", oracle.fused_infer_attention_score)
    query, key, value = operands(inputs, layout.partition("_")[0], 2, heads, kv_heads, queries, keys, width)
    options = _mask(inputs, mask, queries, keys)
    if kv_lengths:
        options["actual_seq_lengths_kv"] = numbers(kv_lengths)
    if pse:
        options["pse_shift"] = inputs.normal("pse", (2, heads, queries, keys))
    options |= {"num_heads": heads, "num_key_value_heads": kv_heads, "scale": width**-0.5, "input_layout": layout}
    return Step(lambda: dict(zip(("out", "lse"), operator(query, key, value, **options, softmax_lse_flag=True), strict=True)))


def packed_score(inputs: Inputs, /, *, lengths: str, kv_lengths: str, heads: int, kv_heads: int, width: int) -> Step:
    """Attend sequences that lie one after the other (TND), causally to the last key; returns `out`, `lse`."""
    operator = inputs.fused("npu_fused_infer_attention_score", oracle.fused_infer_attention_score)
    sizes, kv_sizes = numbers(lengths), numbers(kv_lengths)
    query = inputs.normal("query", (sum(sizes), heads, width))
    key, value = (inputs.normal(name, (sum(kv_sizes), kv_heads, width)) for name in ("key", "value"))
    options: dict[str, Any] = {
        "actual_seq_lengths": list(accumulate(sizes)), "actual_seq_lengths_kv": list(accumulate(kv_sizes)), "num_heads": heads,
        "num_key_value_heads": kv_heads, "scale": width**-0.5, "input_layout": "TND", **_mask(inputs, "right_down", 0, 0),
    }  # fmt: skip
    return Step(lambda: dict(zip(("out", "lse"), operator(query, key, value, **options, softmax_lse_flag=True), strict=True)))


def score_v2(inputs: Inputs, /, *, heads: int, queries: int, keys: int, width: int, rope: int, sink: bool) -> Step:
    """Attend with rotary parts beside query and key, and a sink; returns `out`, `lse`."""
    operator = inputs.fused("npu_fused_infer_attention_score_v2", oracle.fused_infer_attention_score_v2)
    query, key, value = operands(inputs, "BNSD", 2, heads, heads, queries, keys, width)
    options: dict[str, Any] = {
        "query_rope": inputs.normal("query_rope", (2, heads, queries, rope)), "key_rope": inputs.normal("key_rope", (2, heads, keys, rope)),
        "num_query_heads": heads, "num_key_value_heads": heads, "softmax_scale": (width + rope) ** -0.5, "input_layout": "BNSD",
    }  # fmt: skip
    if sink:
        options["learnable_sink"] = inputs.normal("sink", (heads,))
    return Step(lambda: dict(zip(("out", "lse"), operator(query, key, value, **options, return_softmax_lse=True), strict=True)))


def paged(inputs: Inputs, name: str, lengths: Sequence[int], width: int) -> Tensor:
    """Draw the pages of a cache [pages, PAGE, width] for sequences of these lengths."""
    return inputs.normal(name, (len(lengths) * pages_of(lengths), PAGE, width))


def pages_of(lengths: Sequence[int]) -> int:
    """Return how many pages the longest sequence takes."""
    return -(-max(lengths) // PAGE)


def block_table(inputs: Inputs, lengths: Sequence[int]) -> Tensor:
    """Draw which page holds which part of which sequence: int32 [sequences, pages of the longest], no page twice."""
    count = len(lengths) * pages_of(lengths)
    table = shuffled(inputs.seed, "block_table", 1, count).reshape(len(lengths), -1)
    return inputs.given("block_table", torch.from_numpy(np.ascontiguousarray(table)).int())


def paged_score(inputs: Inputs, /, *, heads: int, kv_heads: int, queries: int, width: int, kv_lengths: str) -> Step:
    """Attend to keys and values in pages; returns `out`."""
    operator = inputs.fused("npu_fused_infer_attention_score", oracle.fused_infer_attention_score)
    lengths = numbers(kv_lengths)
    query = inputs.normal("query", (len(lengths), heads, queries, width))
    key, value = (paged(inputs, name, lengths, kv_heads * width) for name in ("key", "value"))
    options: dict[str, Any] = {
        "block_table": block_table(inputs, lengths), "block_size": PAGE, "actual_seq_lengths_kv": lengths, "num_heads": heads,
        "num_key_value_heads": kv_heads, "scale": width**-0.5, "input_layout": "BNSD",
    }  # fmt: skip
    return Step(lambda: {"out": operator(query, key, value, **options)[0]})


def prompt(inputs: Inputs, /, *, layout: str, heads: int, kv_heads: int, queries: int, keys: int, width: int, mask: str) -> Step:
    """Attend two prompts; returns `out`."""
    operator = inputs.fused("npu_prompt_flash_attention", oracle.prompt_flash_attention)
    query, key, value = operands(inputs, layout.partition("_")[0], 2, heads, kv_heads, queries, keys, width)
    options = _mask(inputs, mask, queries, keys) | {"num_heads": heads, "num_key_value_heads": kv_heads}
    return Step(lambda: {"out": operator(query, key, value, **options, scale_value=width**-0.5, input_layout=layout)})


def increment(
    inputs: Inputs, /, *, layout: str, heads: int, kv_heads: int, keys: int, width: int, lengths: str, pages: bool = False
) -> Step:
    """Attend with one query a sequence; returns `out`."""
    operator = inputs.fused("npu_incre_flash_attention", oracle.incre_flash_attention)
    given = numbers(lengths)
    options: dict[str, Any] = {"actual_seq_lengths": given, "num_heads": heads, "num_key_value_heads": kv_heads, "input_layout": layout}
    query, key, value = operands(inputs, layout, len(given), heads, kv_heads, 1, keys, width)
    if pages:
        key, value = (paged(inputs, name, given, kv_heads * width) for name in ("key_pages", "value_pages"))
        options |= {"block_table": block_table(inputs, given), "block_size": PAGE}
    return Step(lambda: {"out": operator(query, key, value, **options, scale_value=width**-0.5)})


def update(inputs: Inputs, /, *, tokens: int, width: int, parts: int) -> Step:
    """Merge attentions over parts of the keys; returns `out`, `lse`."""
    operator = inputs.fused("npu_attention_update", oracle.attention_update)
    sums = [inputs.normal(f"lse{i}", (tokens,), dtype=torch.float32) for i in range(parts)]
    outs = [inputs.normal(f"out{i}", (tokens, width)) for i in range(parts)]
    return Step(lambda: dict(zip(("out", "lse"), operator(sums, outs, 1), strict=True)))


def ring(inputs: Inputs, /, *, heads: int, queries: int, width: int) -> Step:
    """Merge two attentions of a ring; returns `out`, `top`, `total`."""
    operator = inputs.fused("npu_ring_attention_update", oracle.ring_attention_update)
    given = []
    for side in ("old", "new"):
        top, total = (
            inputs.normal(f"{side}_{name}", (2, heads, queries, 1), scale=scale, mean=mean, dtype=torch.float32)
            for name, scale, mean in (("top", 1.0, 0.0), ("total", 1.0, 20.0))
        )
        given += [inputs.normal(side, (queries, 2, heads * width)), *(x.expand(-1, -1, -1, 8).contiguous() for x in (top, total))]
    return Step(lambda: dict(zip(("out", "top", "total"), operator(*given), strict=True)))


def _sizes(**changes: Scalar) -> Mapping[str, Scalar]:
    return {"layout": "BNSD", "heads": 4, "kv_heads": 4, "queries": 65, "keys": 65, "width": 64, "mask": "none", **changes}


ONE: Mapping[str, Scalar] = {"layout": "BNSD", "heads": 4, "kv_heads": 2, "keys": 65, "width": 64, "lengths": "65,33,1"}

CASES = (
    *on_npu(
        score,
        {
            "npu_fused_infer_attention_score-bnsd": _sizes(queries=129, keys=127, width=80),
            "npu_fused_infer_attention_score-bsh-gqa": _sizes(layout="BSH", kv_heads=2, mask="left_up"),
            "npu_fused_infer_attention_score-bsnd-right_down": _sizes(layout="BSND", kv_heads=1, queries=33, mask="right_down"),
            "npu_fused_infer_attention_score-bnsd_bsnd": _sizes(layout="BNSD_BSND", queries=17),
            "npu_fused_infer_attention_score-band": _sizes(queries=64, mask="band"),
            "npu_fused_infer_attention_score-random_mask": _sizes(queries=31, mask="random"),
            "npu_fused_infer_attention_score-lengths": _sizes(queries=17, kv_lengths="65,30"),
            "npu_fused_infer_attention_score-pse": _sizes(queries=17, keys=64, pse=True),
        },
        HALVES,
    ),
    *on_npu(
        packed_score,
        {
            "npu_fused_infer_attention_score-tnd": {
                "lengths": "17,1,33", "kv_lengths": "17,65,40", "heads": 4, "kv_heads": 2, "width": 128,
            },
        },
        HALVES,
    ),
    *on_npu(
        paged_score,
        {
            "npu_fused_infer_attention_score-paged": {"heads": 4, "kv_heads": 2, "queries": 3, "width": 64, "kv_lengths": "33,65,16"},
            "npu_fused_infer_attention_score-paged-one": {"heads": 4, "kv_heads": 1, "queries": 1, "width": 128, "kv_lengths": "1,47"},
        },
        HALVES,
    ),
    *on_npu(
        score_v2,
        {
            "npu_fused_infer_attention_score_v2-sink": {"heads": 4, "queries": 17, "keys": 65, "width": 64, "rope": 16, "sink": True},
            "npu_fused_infer_attention_score_v2-rope": {"heads": 4, "queries": 1, "keys": 65, "width": 128, "rope": 64, "sink": False},
        },
        HALVES,
    ),
    *on_npu(
        prompt,
        {
            "npu_prompt_flash_attention-bsh": _sizes(layout="BSH", mask="left_up"),
            "npu_prompt_flash_attention-gqa": _sizes(kv_heads=2, queries=33, mask="right_down"),
            "npu_prompt_flash_attention-bnsd_bsnd": _sizes(layout="BNSD_BSND", queries=31, mask="band"),
        },
        HALVES,
    ),
    *on_npu(
        increment,
        {
            "npu_incre_flash_attention-bnsd": ONE,
            "npu_incre_flash_attention-bsh": {**ONE, "layout": "BSH", "kv_heads": 4, "keys": 257, "lengths": "257,128"},
            "npu_incre_flash_attention-paged": {**ONE, "layout": "BSH", "pages": True, "lengths": "65,33,17"},
        },
        HALVES,
    ),
    *on_npu(update, {"npu_attention_update": {"tokens": 65, "width": 64, "parts": 3}}),
    *on_npu(ring, {"npu_ring_attention_update": {"heads": 3, "queries": 33, "width": 64}}),
)  # fmt: skip
