"""torch_npu's operators that put rows into caches, and those that look rows up. Knows no device."""

from typing import Any

import torch
from torch import Tensor

from harness.case import Step
from harness.checks.closeness import Closeness
from harness.checks.exact import Exact
from harness.checks.probed import Probed
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from reference.oracles.fused import latent_cache as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.fused.drawing import shuffled, whole
from suites.workloads.operators.fused.listing import HALVES, copies, on_npu
from suites.workloads.operators.fused.rotary import tables


def latent(inputs: Inputs, /, *, batch: int, length: int, width: int, mode: str, form: str = "") -> Step:
    """Normalise, turn and store keys; returns both caches and what was stored. `form`: "", "v2" or "v2_functional"."""
    name = f"npu_kv_rmsnorm_rope_cache_{form}" if form else "npu_kv_rmsnorm_rope_cache"

    def plain(*tensors: Tensor, **options: Any) -> tuple[Tensor, ...]:
        found = oracle.kv_rmsnorm_rope_cache(*tensors, **options)
        return {"": found, "v2": found[2:], "v2_functional": (*found[2:], *found[:2])}[form]

    operator = inputs.fused(name, plain)
    kv, gamma = inputs.normal("kv", (batch, 1, length, width + 64)), inputs.normal("gamma", (width,), 0.25, 1.0)
    cosine, sine = (table.expand(batch, 1, -1, -1).contiguous() for table in tables(inputs, length, 64))
    if mode == "Norm":
        rows = torch.from_numpy(shuffled(inputs.seed, "index", batch, 2 * length)[:, :length].copy())
        shapes = [(batch, 1, 2 * length, n) for n in (64, width)]
    else:
        rows = torch.from_numpy(shuffled(inputs.seed, "index", 1, 2 * batch * length)[0, : batch * length].copy())
        rows[3] = -1
        shapes = [(2 * batch, length, 1, n) for n in (64, width)]
    index = inputs.given("index", rows)
    caches = [inputs.normal(name, shape) for name, shape in zip(("k_cache", "ckv_cache"), shapes, strict=True)]

    def call() -> dict[str, Tensor]:
        k_cache, ckv_cache = (cache.clone() for cache in caches)
        found = operator(kv, gamma, cosine, sine, index, k_cache, ckv_cache, epsilon=1e-5, cache_mode=mode, is_output_kv=True)
        if form == "v2_functional":
            k_cache, ckv_cache = found[2:]
        turned, normalised = found[:2] if form else found[2:]
        return {"k_cache": k_cache, "ckv_cache": ckv_cache, "turned": turned, "normalised": normalised}

    return Step(call)


def nd_update(inputs: Inputs, /, *, rows: int, width: int, count: int, in_place: bool) -> Step:
    """Put slices at places of [rows, rows, width]; returns `out`."""
    name = "npu_scatter_nd_update_" if in_place else "npu_scatter_nd_update"
    operator = inputs.fused(name, oracle.moved_in)
    target, updates = inputs.normal("target", (rows, rows, width)), inputs.normal("updates", (count, width))
    places = torch.from_numpy(shuffled(inputs.seed, "places", 1, rows * rows)[0, :count].copy())
    indices = inputs.given("indices", torch.stack([places // rows, places % rows], -1).int())
    return Step(lambda: {"out": operator(target.clone(), indices, updates)})


def into_list(inputs: Inputs, /, *, count: int, rows: int, width: int, in_place: bool) -> Step:
    """Put blocks of rows into each of several tensors; returns them one after the other as `out`."""
    targets, updates = inputs.normal("targets", (count, rows, width)), inputs.normal("updates", (count, 2, width))
    starts = whole(inputs, "starts", (count,), 0, rows - 1, torch.int64)
    functional = inputs.fused("npu_scatter_list", oracle.scatter_list)

    def change(given: list[Tensor], starts: Tensor, updates: Tensor) -> None:
        for target, out in zip(given, oracle.scatter_list(given, starts, updates), strict=True):
            target.copy_(out)

    changing = inputs.fused("npu_scatter_list_", change)

    def call() -> dict[str, Tensor]:
        given = [target.clone() for target in targets]
        if in_place:
            changing(given, starts, updates)
            return {"out": torch.stack(given)}
        return {"out": torch.stack(functional(given, starts, updates))}

    return Step(call)


def look_up(inputs: Inputs, /, *, rows: int, width: int, count: int, by_matrix: bool) -> Step:
    """Take rows of a table, by a matrix of indices; or by a list, with the gradient; returns `out`, `grad_table`."""
    operator = inputs.fused("npu_gather_sparse_index", lambda table, index: table[index])
    index = whole(inputs, "index", (count, 3) if by_matrix else (count,), 0, rows, torch.int64)
    table = inputs.normal("table", (rows, width))
    if by_matrix:
        return Step(lambda: {"out": operator(table, index)})
    return Step(differentiate(lambda table: operator(table, index), {"table": table}, inputs.normal("cotangent", (count, width))))


CASES = (
    *on_npu(
        latent,
        {
            "npu_kv_rmsnorm_rope_cache": {"batch": 2, "length": 17, "width": 128, "mode": "Norm"},
            "npu_kv_rmsnorm_rope_cache-pages": {"batch": 2, "length": 16, "width": 512, "mode": "PA"},
            "npu_kv_rmsnorm_rope_cache_v2": {"batch": 2, "length": 16, "width": 128, "mode": "PA", "form": "v2"},
            "npu_kv_rmsnorm_rope_cache_v2_functional": {
                "batch": 2, "length": 17, "width": 128, "mode": "Norm", "form": "v2_functional",
            },
        },
        HALVES,
    ),
    *on_npu(nd_update, {"npu_scatter_nd_update": {"rows": 7, "width": 65, "count": 23, "in_place": False}}, checks=copies("out")),
    *on_npu(nd_update, {"npu_scatter_nd_update_": {"rows": 7, "width": 65, "count": 23, "in_place": True}}, checks=copies("out")),
    *on_npu(into_list, {"npu_scatter_list": {"count": 4, "rows": 9, "width": 65, "in_place": False}}, checks=copies("out")),
    *on_npu(into_list, {"npu_scatter_list_": {"count": 4, "rows": 9, "width": 65, "in_place": True}}, checks=copies("out")),
    *on_npu(
        look_up,
        {
            "npu_gather_sparse_index": {"rows": 33, "width": 65, "count": 49, "by_matrix": False},
            "npu_gather_sparse_index-matrix": {"rows": 33, "width": 65, "count": 17, "by_matrix": True},
        },
        checks=(SpecialValues(), Closeness(), Exact(only=("out",)), Probed()),
    ),
)  # fmt: skip
