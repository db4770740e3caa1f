"""torch_npu's losses that train the lightning indexer, dense and sparse. Knows no device."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs, draw_normal
from reference.oracles.fused import indexer_loss as oracle
from suites.workloads.operators.fused.drawing import shuffled
from suites.workloads.operators.fused.listing import on_npu

NAMES = ("grad_query_index", "grad_key_index", "grad_weights", "loss")


def index_of(inputs: Inputs, batch: int, length: int) -> oracle.Indexed:
    """Draw the indexer's operands."""
    query, key = inputs.normal("query_index", (batch, length, 8, 32), 0.3), inputs.normal("key_index", (batch, length, 1, 32))
    return oracle.Indexed(query, key, inputs.normal("weights", (batch, length, 8), 0.1, 0.5))


def dense_lse(inputs: Inputs, /, *, batch: int, length: int) -> Step:
    """Give maxima and sums of the indexer's scores; returns `top`, `total`."""
    operator = inputs.fused("npu_dense_lightning_indexer_softmax_lse", oracle.dense_softmax_lse)
    query, key, weights = index_of(inputs, batch, length)
    return Step(lambda: dict(zip(("top", "total"), operator(query, key, weights), strict=True)))


def loss(inputs: Inputs, /, *, batch: int, length: int, heads: int, width: int, rope: int, count: int) -> Step:
    """Give the loss and the gradients of the indexer, over the `count` keys chosen for each query (0: all); returns what NAMES says.

    The attention's statistics are inputs, computed in float64 on the host and rounded.
    """
    index = index_of(inputs, batch, length)
    shapes = {"query": (heads, width), "key": (1, width), "query_rope": (heads, rope), "key_rope": (1, rope)}
    host = {name: _host(inputs, name, (batch, length, *shape)) for name, shape in shapes.items()}
    given = {name: inputs.given(name, tensor) for name, tensor in host.items()}
    listed = _chosen(inputs.seed, batch, length, count)
    chosen = inputs.given("chosen", listed) if count else None
    scale = (width + rope) ** -0.5
    seen = oracle.at(listed, length) if count else oracle.causal(length, batch, torch.device("cpu"))
    kept = oracle.statistics(oracle.attention_scores(*_doubles(host), scale, seen))
    # their last bits, in which one machine's exp may differ from another's, are cut off before they are rounded
    top, total = (inputs.given(name, (x * 2**30).round().mul(2**-30).float()) for name, x in zip(("top", "total"), kept, strict=True))
    ropes = {"query_rope": given["query_rope"], "key_rope": given["key_rope"]}

    def plain(query: Tensor, key: Tensor, query_index: Tensor, key_index: Tensor, weights: Tensor, *_: Any, **ropes: Tensor) -> Any:
        here = seen.to(query.device)
        attention = oracle.attention_scores(query, key, ropes["query_rope"], ropes["key_rope"], scale, here)
        return oracle.kl_loss(oracle.Indexed(query_index, key_index, weights), attention, here)

    if chosen is not None:
        sparse = inputs.fused("npu_sparse_lightning_indexer_grad_kl_loss", plain)
        return Step(lambda: _named(sparse(given["query"], given["key"], *index, chosen, top, total, scale, **ropes)))
    dense = inputs.fused("npu_dense_lightning_indexer_grad_kl_loss", plain)
    lse = inputs.fused("npu_dense_lightning_indexer_softmax_lse", oracle.dense_softmax_lse)
    return Step(lambda: _named(dense(given["query"], given["key"], *index, top, total, *lse(*index), scale, **ropes)))


def _doubles(host: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return host["query"].double(), host["key"].double(), host["query_rope"].double(), host["key_rope"].double()


def _host(inputs: Inputs, name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(draw_normal(inputs.seed, name, math.prod(shape)) * 0.5).reshape(shape).to(inputs.dtype)


def _named(found: tuple[Tensor, ...]) -> dict[str, Tensor]:
    return dict(zip(NAMES, found, strict=True))


def _chosen(seed: int, batch: int, length: int, count: int) -> Tensor:
    """Return int32 [batch, length, 1, count]: for each query some of the keys that it sees, -1 beyond."""
    rows = []
    for b in range(batch):
        for query in range(length):
            order = shuffled(seed, f"chosen{b}-{query}", 1, query + 1)[0][:count]
            rows.append(np.concatenate([order, np.full(count - len(order), -1)]))
    return torch.from_numpy(np.stack(rows)).int().view(batch, length, 1, count)


SIZES = {"batch": 2, "length": 17, "heads": 4, "width": 32, "rope": 16}

CASES = (
    *on_npu(dense_lse, {"npu_dense_lightning_indexer_softmax_lse": {"batch": 2, "length": 33}}, ("bfloat16", "float16")),
    *on_npu(loss, {"npu_dense_lightning_indexer_grad_kl_loss": {**SIZES, "count": 0}}, ("bfloat16", "float16")),
    *on_npu(loss, {"npu_sparse_lightning_indexer_grad_kl_loss": {**SIZES, "count": 8}}, ("bfloat16", "float16")),
)
