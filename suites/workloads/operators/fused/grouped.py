"""torch_npu's grouped matrix products, plain, quantised and fused to what follows. Knows no device."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from harness.case import Scalar, Step
from harness.inputs import Inputs
from reference.oracles.fused import products as oracle
from reference.oracles.fused.widening import wide
from suites.workloads.operators.fused.attention_infer import numbers
from suites.workloads.operators.fused.drawing import whole
from suites.workloads.operators.fused.listing import HALVES, on_npu
from suites.workloads.operators.fused.products import grid, short
from suites.workloads.operators.fused.quantisation import stored


def groups(inputs: Inputs, sizes: str) -> tuple[list[int], Tensor]:
    """Return the sizes of "17,0,8" and their cumulative ends on the device."""
    given = numbers(sizes)
    return given, inputs.given("ends", torch.tensor(list(accumulate(given))))


def of_rows(inputs: Inputs, /, *, sizes: str, k: int, n: int, transposed: bool, biased: bool, counted: bool = False) -> Step:
    """Multiply each group of rows by its weight of one tensor; returns `out`. `counted`: the list holds sizes, not ends."""
    given, ends = groups(inputs, sizes)
    x, count = inputs.normal("x", (sum(given), k)), len(given)
    weight = inputs.normal("weight", (count, n, k), k**-0.5).mT if transposed else inputs.normal("weight", (count, k, n), k**-0.5)
    bias = inputs.normal("bias", (count, n), dtype=torch.float32 if inputs.dtype == torch.bfloat16 else None) if biased else None
    listed = inputs.given("sizes", torch.tensor(given)) if counted else ends

    def plain(x: list[Tensor], weight: list[Tensor], *, bias: list[Tensor] | None, **_: object) -> list[Tensor]:
        return [oracle.grouped_matmul(x[0], list(weight[0]), ends, None if bias is None else list(bias[0]))]

    operator = inputs.fused("npu_grouped_matmul", plain)
    options: dict[str, Any] = {"group_list": listed, "split_item": 3, "group_type": 0, "group_list_type": int(counted)}
    return Step(lambda: {"out": operator([x], [weight], bias=None if bias is None else [bias], **options)[0]})


def of_tensors(inputs: Inputs, /, *, sizes: str, k: int, n: int) -> Step:
    """Multiply each group of rows by a weight tensor of its own; returns `out`."""
    given, ends = groups(inputs, sizes)
    x, weights = inputs.normal("x", (sum(given), k)), [inputs.normal(f"weight{i}", (k, n), k**-0.5) for i in range(len(given))]
    operator = inputs.fused("npu_grouped_matmul", lambda x, weight, **_: [oracle.grouped_matmul(x[0], weight, ends)])
    return Step(lambda: {"out": operator([x], weights, group_list=ends, split_item=2, group_type=0)[0]})


def of_columns(inputs: Inputs, /, *, sizes: str, m: int, n: int) -> Step:
    """Sum over groups of tokens: the gradients of weights; returns `out` [groups, m, n]."""
    given, ends = groups(inputs, sizes)
    x, weight = inputs.normal("x", (sum(given), m)).T, inputs.normal("weight", (sum(given), n))
    operator = inputs.fused("npu_grouped_matmul", lambda x, w, **_: [oracle.grouped_matmul_of_columns(x[0], w[0], ends)])
    return Step(lambda: {"out": operator([x], [weight], group_list=ends, split_item=3, group_type=2)[0]})


def added(inputs: Inputs, /, *, sizes: str, m: int, n: int, in_place: bool) -> Step:
    """Add the gradients of weights to what is there; returns `out` (float32 [groups * m, n])."""
    given, ends = groups(inputs, sizes)
    x, weight = inputs.normal("x", (sum(given), m)), inputs.normal("weight", (sum(given), n))
    before = inputs.normal("before", (len(given) * m, n), dtype=torch.float32)

    def plain(y: Tensor, x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
        return y.add_(oracle.grouped_matmul_of_columns(wide(x).T, wide(weight), ends).flatten(0, 1))

    operator = inputs.fused("npu_grouped_matmul_add_" if in_place else "npu_grouped_matmul_add", plain)
    return Step(lambda: {"out": operator(before.clone(), x, weight, ends)})


def quantised(inputs: Inputs, /, *, sizes: str, k: int, n: int) -> Step:
    """Multiply int8 by int8 in groups, with scales of channels and tokens; returns `out`."""
    x, weight, scale, tokens, ends = _integers(inputs, sizes, k, n)

    def plain(x: list[Tensor], weight: list[Tensor], *, scale: list[Tensor], per_token_scale: list[Tensor], **_: object) -> list[Tensor]:
        return [oracle.grouped_quant_matmul(x[0], weight[0], ends, scale[0], per_token_scale[0]).to(inputs.compute_dtype)]

    operator = inputs.fused("npu_grouped_matmul", plain)
    options: dict[str, Any] = {"group_list": ends, "split_item": 2, "group_type": 0, "output_dtype": inputs.compute_dtype}
    return Step(lambda: {"out": operator([x], [weight], scale=[scale], per_token_scale=[tokens], **options)[0]})


def _integers(inputs: Inputs, sizes: str, k: int, n: int, narrow: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    given, ends = groups(inputs, sizes)
    x = whole(inputs, "x", (sum(given), k), -128, 128, torch.int8)
    weight = whole(inputs, "weight", (len(given), k, n), -128, 128, torch.int8)
    scale = short(inputs, "scale", (len(given), n), torch.bfloat16 if narrow and inputs.dtype == torch.bfloat16 else torch.float32)
    return x, weight, scale, short(inputs, "tokens", (sum(given),), step=2.0**-6), ends


def restored(inputs: Inputs, /, *, sizes: str, k: int, n: int) -> Step:
    """Multiply by int8 weights that are restored on the way; returns `out`."""
    given, ends = groups(inputs, sizes)
    x, codes = inputs.normal("x", (sum(given), k)), whole(inputs, "codes", (len(given), k, n), -128, 128, torch.int8)
    scale, offset = (
        inputs.normal(name, (len(given), n), deviation, mean) for name, deviation, mean in (("scale", 5e-4, 5e-3), ("offset", 1.0, 0.0))
    )

    def plain(
        x: list[Tensor], weight: list[Tensor], *, antiquant_scale: list[Tensor], antiquant_offset: list[Tensor], **_: object
    ) -> list[Tensor]:
        weights = oracle.restored(weight[0], antiquant_scale[0][:, None], antiquant_offset[0][:, None], dim=1)
        return [oracle.grouped_matmul(x[0], list(weights), ends)]

    operator = inputs.fused("npu_grouped_matmul", plain)
    options: dict[str, Any] = {"antiquant_scale": [scale], "antiquant_offset": [offset]}
    return Step(lambda: {"out": operator([x], [codes], **options, group_list=ends, split_item=2, group_type=0)[0]})


def finalized(inputs: Inputs, /, *, sizes: str, k: int, n: int, tokens: int) -> Step:
    """Multiply in groups and add rows to their tokens, with a shared expert's; returns `out` (float32)."""
    x, weight, scale, per_token, ends = _integers(inputs, sizes, k, n, narrow=False)
    logit = inputs.normal("logit", (x.shape[0],), 0.1, 0.5, torch.float32)
    index = whole(inputs, "index", (x.shape[0],), 0, tokens, torch.int64)
    shared = inputs.normal("shared", (2, n), dtype=torch.bfloat16)

    def plain(x: Tensor, weight: Tensor, ends: Tensor, **options: Any) -> Tensor:
        return oracle.grouped_matmul_finalize_routing(
            x, weight, ends, options["scale"], options["pertoken_scale"], options["logit"], options["row_index"], options["shared_input"],
            options["shared_input_weight"], options["shared_input_offset"], options["output_bs"],
        )  # fmt: skip

    operator = inputs.fused("npu_grouped_matmul_finalize_routing", plain)
    options: dict[str, Any] = {
        "scale": scale, "pertoken_scale": per_token, "shared_input": shared, "logit": logit, "row_index": index, "shared_input_weight": 0.5,
        "shared_input_offset": 2, "output_bs": tokens, "group_list_type": 0,
    }  # fmt: skip
    return Step(lambda: {"out": operator(x, weight, ends, **options)})


def gated(inputs: Inputs, /, *, sizes: str, k: int, n: int, version: int) -> Step:
    """Multiply int8 by int8 in groups, gate, quantise each row; returns `y`, `scale`."""
    x, weight, scale, tokens, ends = _integers(inputs, sizes, k, n, narrow=False)

    def first(x: Tensor, weight: Tensor, ends: Tensor, scale: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return oracle.grouped_matmul_swiglu_quant(x, weight, ends, scale, tokens)

    def second(x: Tensor, weight: list[Tensor], scale: list[Tensor], tokens: Tensor, ends: Tensor, **_: object) -> tuple[Tensor, Tensor]:
        return oracle.grouped_matmul_swiglu_quant(x, weight[0], ends, scale[0], tokens)

    one = inputs.fused("npu_grouped_matmul_swiglu_quant", first)
    two = inputs.fused("npu_grouped_matmul_swiglu_quant_v2", second)

    def call() -> dict[str, Tensor]:
        if version == 1:
            y, step = one(x, weight, ends, scale, tokens)[:2]
        else:
            y, step = two(x, [weight], [scale], tokens, ends, quant_dtype=torch.int8, dequant_dtype=torch.float32)
        return {"y": stored(inputs, y), "scale": step}

    return Step(call)


def dequantised(inputs: Inputs, /, *, sizes: str, k: int, n: int) -> Step:
    """Quantise rows, multiply by int8 in groups, bring back; returns `out`."""
    operator = inputs.fused("npu_quant_grouped_matmul_dequant", oracle.quant_grouped_matmul_dequant)
    given, ends = groups(inputs, sizes)
    x, weight = grid(inputs, sum(given), k), whole(inputs, "weight", (len(given), n, k), -128, 128, torch.int8)
    scale = short(inputs, "scale", (len(given), n))
    return Step(lambda: {"out": operator(x, weight, scale, ends)})


SIZE: Mapping[str, Scalar] = {"sizes": "17,0,64,31", "k": 128, "n": 64}
ODD: Mapping[str, Scalar] = {"sizes": "3,1,0,5", "k": 65, "n": 33}
BYTES: Mapping[str, Scalar] = {"sizes": "3,0,33,5", "k": 128, "n": 64}

CASES = (
    *on_npu(
        of_rows,
        {
            "npu_grouped_matmul-rows": {**SIZE, "transposed": False, "biased": False},
            "npu_grouped_matmul-transposed": {**SIZE, "transposed": True, "biased": True, "counted": True},
            "npu_grouped_matmul-odd": {**ODD, "transposed": False, "biased": True},
        },
    ),
    *on_npu(of_tensors, {"npu_grouped_matmul-tensors": SIZE}),
    *on_npu(of_columns, {"npu_grouped_matmul-columns": {"sizes": "17,9,64,31", "m": 64, "n": 33}}),
    *on_npu(added, {"npu_grouped_matmul_add_": {"sizes": "17,9,64,31", "m": 32, "n": 33, "in_place": True}}, HALVES),
    *on_npu(added, {"npu_grouped_matmul_add": {"sizes": "17,9,64,31", "m": 32, "n": 33, "in_place": False}}, HALVES),
    *on_npu(quantised, {"npu_grouped_matmul-int8": BYTES}, HALVES),
    *on_npu(restored, {"npu_grouped_matmul-int8_weights": BYTES}, HALVES),
    *on_npu(finalized, {"npu_grouped_matmul_finalize_routing": {**BYTES, "tokens": 9}}, ("float32",)),
    *on_npu(
        gated,
        {
            "npu_grouped_matmul_swiglu_quant": {**BYTES, "version": 1},
            "npu_grouped_matmul_swiglu_quant_v2": {**BYTES, "version": 2},
        },
        ("float32",),
    ),
    *on_npu(dequantised, {"npu_quant_grouped_matmul_dequant": BYTES}, ("float16",)),
)
