"""Later versions of npu_fusion_attention: rotary parts, biases made of slopes, lengths as tensors; and its 8-bit kin. Knows no device."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from harness.case import Scalar, Step
from harness.inputs import Inputs, draw_integers
from reference.oracles.fused import attention as oracle
from reference.oracles.fused import sparse_attention as sparse
from suites.workloads.operators.fused.attention import masked
from suites.workloads.operators.fused.attention_infer import numbers
from suites.workloads.operators.fused.drawing import shuffled, whole
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import HALVES, on_npu
from suites.workloads.operators.fused.sparse_attention import chosen_keys, ends_of


def slopes_of(slopes: Tensor, queries: int, keys: int, pse_type: int) -> Tensor:
    """Return the bias [1, heads, queries, keys] of slopes [heads]: `-slope |key - query|` (`pse_type` 2), of its root (3)."""
    distance = (torch.arange(keys, device=slopes.device) - torch.arange(queries, device=slopes.device)[:, None]).abs().to(slopes.dtype)
    return -slopes[None, :, None, None] * (distance if pse_type == 2 else torch.sqrt(distance))


def slopes(inputs: Inputs, /, *, heads: int, length: int, width: int, pse_type: int) -> Step:
    """Attend with a bias made of slopes (ALiBi), added after the scale; returns `out` and gradients."""

    def plain(query: Tensor, key: Tensor, value: Tensor, _heads: int, _layout: str, **options: Any) -> tuple[Tensor]:
        return (oracle.attend(query, key, value, options["scale"], None, slopes_of(options["pse"], length, length, pse_type)).out,)

    operator = inputs.fused("npu_fusion_attention_v2", plain)
    operands = {name: inputs.normal(name, (2, heads, length, width)) for name in ("query", "key", "value")}
    drawn = torch.from_numpy(draw_integers(inputs.seed, "slopes", heads, 1, 64)).float() / 64
    options: dict[str, Any] = {
        "pse": inputs.given("slopes", drawn), "scale": width**-0.5, "pse_type": pse_type, "q_start_idx": [0], "kv_start_idx": [0],
    }  # fmt: skip

    def call(query: Tensor, key: Tensor, value: Tensor) -> dict[str, Tensor]:
        return {"out": operator(query, key, value, heads, "BNSD", **options)[0]}

    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (2, heads, length, width))}))


def roped(inputs: Inputs, /, *, lengths: str, heads: int, width: int, rope: int) -> Step:
    """Attend packed sequences, causally, with rotary parts beside query and key; returns `out` and gradients."""
    sizes = numbers(lengths)
    ends = list(accumulate(sizes))

    def plain(query: Tensor, key: Tensor, value: Tensor, heads: int, layout: str, **options: Any) -> tuple[Tensor, ...]:
        query, key = torch.cat([query, options.pop("query_rope")], -1), torch.cat([key, options.pop("key_rope")], -1)
        return oracle.fusion_attention(query, key, value, heads, layout, **options)

    operator = inputs.fused("npu_fusion_attention_v2", plain)
    shapes = {"query": width, "key": width, "value": width, "query_rope": rope, "key_rope": rope}
    operands = {name: inputs.normal(name, (sum(sizes), heads, size)) for name, size in shapes.items()}
    options = masked(inputs, "left_up", 1, 0, 0) | {"scale": (width + rope) ** -0.5, "actual_seq_qlen": ends, "actual_seq_kvlen": ends}

    def call(query: Tensor, key: Tensor, value: Tensor, query_rope: Tensor, key_rope: Tensor) -> dict[str, Tensor]:
        return {"out": operator(query, key, value, heads, "TND", query_rope=query_rope, key_rope=key_rope, **options)[0]}

    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (sum(sizes), heads, width))}))


def listed(inputs: Inputs, /, *, lengths: str, heads: int, kv_heads: int, width: int) -> Step:
    """Attend packed sequences, causally, whose ends are a tensor of the host; returns `out` and gradients."""
    sizes = numbers(lengths)
    ends = torch.tensor(list(accumulate(sizes)))

    def plain(query: Tensor, key: Tensor, value: Tensor, heads: int, layout: str, **options: Any) -> tuple[Tensor, ...]:
        given = list(accumulate(sizes))
        return oracle.fusion_attention(query, key, value, heads, layout, **options | {"actual_seq_qlen": given, "actual_seq_kvlen": given})

    operator = inputs.fused("npu_fusion_attention_v3", plain)
    operands = {name: inputs.normal(name, (sum(sizes), n, width)) for name, n in (("query", heads), ("key", kv_heads), ("value", kv_heads))}
    options = masked(inputs, "left_up", 1, 0, 0) | {"scale": width**-0.5, "actual_seq_qlen": ends, "actual_seq_kvlen": ends}

    def call(query: Tensor, key: Tensor, value: Tensor) -> dict[str, Tensor]:
        return {"out": operator(query, key, value, heads, "TND", **options)[0]}

    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (sum(sizes), heads, width))}))


def quantised_indexer(inputs: Inputs, /, *, lengths: str, key_lengths: str, heads: int, width: int, count: int) -> Step:
    """Choose the best keys from int8 queries and keys; returns `indices`. Scales are powers of two, so that scores are exact."""
    tokens, ends = ends_of(inputs, "ends", lengths)
    keys, key_ends = ends_of(inputs, "key_ends", key_lengths)

    def plain(query: Tensor, key: Tensor, weights: Tensor, left: Tensor, right: Tensor, *_: int, **_options: object) -> Tensor:
        query, key = query * left[..., None].double(), key * right[..., None].double()
        return sparse.lightning_indexer(query, key, weights, ends, key_ends, count, causal=True)[0]

    operator = inputs.fused("npu_quant_lightning_indexer", plain)
    query = whole(inputs, "query", (tokens, heads, width), -9, 10, torch.int8)
    key = whole(inputs, "key", (keys, 1, width), -9, 10, torch.int8)
    weights = inputs.given("weights", torch.from_numpy(shuffled(inputs.seed, "weights", tokens, heads) + 1).half())
    scales = [
        inputs.given(name, torch.from_numpy(2.0 ** draw_integers(inputs.seed, name, rows * columns, -3, 1)).view(rows, columns).half())
        for name, rows, columns in (("query_scale", tokens, heads), ("key_scale", keys, 1))
    ]
    options: dict[str, Any] = {
        "actual_seq_lengths_query": ends, "actual_seq_lengths_key": key_ends, "layout_query": "TND", "layout_key": "TND",
        "sparse_count": count, "sparse_mode": 3,
    }  # fmt: skip
    return Step(lambda: {"indices": operator(query, key, weights, *scales, 0, 0, **options)})


def quantised_keys(inputs: Inputs, /, *, lengths: str, key_lengths: str, heads: int, width: int, rope: int, count: int) -> Step:
    """Attend to chosen keys in int8 whose scales lie beside them in the cache; returns `out`."""
    tokens, ends = ends_of(inputs, "ends", lengths)
    keys, key_ends = ends_of(inputs, "key_ends", key_lengths)
    query, query_rope = inputs.normal("query", (tokens, heads, width)), inputs.normal("query_rope", (tokens, heads, rope))
    tile = width // 2
    codes = torch.from_numpy(draw_integers(inputs.seed, "codes", keys * width, -99, 100)).view(keys, 1, width)
    steps = torch.from_numpy(draw_integers(inputs.seed, "steps", keys * 2, 32, 96)).view(keys, 1, 2).float() / 2**12
    turned = torch.from_numpy(draw_integers(inputs.seed, "rope", keys * rope, -64, 65)).view(keys, 1, rope) / 32
    cache = torch.cat([codes.to(torch.int8), turned.to(inputs.dtype).view(torch.int8), steps.view(torch.int8)], -1)
    stored = inputs.given("cache", cache)
    chosen = inputs.given("chosen", chosen_keys(inputs.seed, numbers(lengths), numbers(key_lengths), count))

    def plain(whole_query: Tensor, *_: object, **_options: object) -> Tensor:
        key = (codes * steps.double().repeat_interleave(tile, -1)).to(whole_query.dtype).to(whole_query.device)
        key_rope = turned.to(whole_query.dtype).to(whole_query.device)
        first, second = torch.split(whole_query, [width, rope], -1)
        return sparse.sparse_flash_attention(first, key, chosen, scale, second, key_rope, ends, key_ends)[0]

    operator = inputs.fused("npu_kv_quant_sparse_flash_attention", plain)
    joined, scale = torch.cat([query, query_rope], -1), (width + rope) ** -0.5
    options: dict[str, Any] = {
        "actual_seq_lengths_query": ends, "actual_seq_lengths_kv": key_ends, "layout_query": "TND", "layout_kv": "TND", "attention_mode": 2,
        "tile_size": tile, "rope_head_dim": rope,
    }  # fmt: skip
    return Step(lambda: {"out": operator(joined, stored, stored[..., :width], chosen, scale, 2, 2, **options)})


PACKED: Mapping[str, Scalar] = {"lengths": "5,17,1", "key_lengths": "33,17,40", "heads": 8}

CASES = (
    *on_npu(slopes, {"npu_fusion_attention_v2-slopes": {"heads": 4, "length": 65, "width": 64, "pse_type": 2}}),
    *on_npu(slopes, {"npu_fusion_attention_v2-roots": {"heads": 4, "length": 31, "width": 64, "pse_type": 3}}),
    *on_npu(roped, {"npu_fusion_attention_v2-rope": {"lengths": "17,1,33", "heads": 4, "width": 64, "rope": 32}}),
    *on_npu(listed, {"npu_fusion_attention_v3": {"lengths": "17,33,9", "heads": 4, "kv_heads": 2, "width": 64}}),
    *on_npu(quantised_indexer, {"npu_quant_lightning_indexer": {**PACKED, "width": 64, "count": 12}}, ("float16",)),
    *on_npu(quantised_keys, {"npu_kv_quant_sparse_flash_attention": {**PACKED, "width": 64, "rope": 16, "count": 16}}, HALVES),
)
