"""torch_npu's matrix products with quantised operands, feed-forward layers and adapters. Knows no device."""

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.case import Scalar, Step
from harness.inputs import Inputs, draw_integers
from reference.oracles.fused import products as oracle
from reference.oracles.fused.quantisation import int4_packed
from suites.workloads.operators.fused.drawing import whole
from suites.workloads.operators.fused.listing import HALVES, on_npu
from suites.workloads.operators.fused.quantisation import stored


def short(inputs: Inputs, name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, step: float = 2.0**-16) -> Tensor:
    """Draw scales of few bits, 32 to 95 times `step`: the matrix unit keeps 19 bits of a scale, and these lose none."""
    count = torch.Size(shape).numel()
    values = torch.from_numpy(draw_integers(inputs.seed, name, count, 32, 96)).reshape(shape) * step
    return inputs.given(name, values.to(dtype))


def quant_matmul(inputs: Inputs, /, *, m: int, k: int, n: int, by_token: bool, bias: str) -> Step:
    """Multiply int8 by int8, give real numbers; returns `out`. `bias`: none, int32 or float32."""
    operator = inputs.fused("npu_quant_matmul", oracle.quant_matmul)
    x1, x2 = whole(inputs, "x1", (m, k), -128, 128, torch.int8), whole(inputs, "x2", (k, n), -128, 128, torch.int8)
    scale = short(inputs, "scale", (n,), torch.bfloat16 if inputs.dtype == torch.bfloat16 else torch.float32)
    tokens = short(inputs, "tokens", (m,), step=2.0**-6) if by_token else None
    added = None if bias == "none" else whole(inputs, "bias", (n,), -999, 1000)
    if bias == "float32":
        added = inputs.normal("real_bias", (n,), dtype=torch.float32)
    options = {"pertoken_scale": tokens, "bias": added, "output_dtype": inputs.compute_dtype}
    return Step(lambda: {"out": operator(x1, x2, scale, **options)})


def quant_matmul_to_integers(inputs: Inputs, /, *, m: int, k: int, n: int, transposed: bool) -> Step:
    """Multiply int8 by int8, give int8 with an offset, and the int32 sums; returns `y`, `sums`."""
    operator = inputs.fused("npu_quant_matmul", oracle.quant_matmul)
    x1, scale = whole(inputs, "x1", (m, k), -128, 128, torch.int8), short(inputs, "scale", (n,), step=2.0**-16)
    x2 = whole(inputs, "x2", (n, k), -128, 128, torch.int8).T if transposed else whole(inputs, "x2", (k, n), -128, 128, torch.int8)
    bias = whole(inputs, "bias", (n,), -999, 1000)
    offset = inputs.given("offset", torch.from_numpy(draw_integers(inputs.seed, "offset", n, -9, 10)).float())

    def call() -> dict[str, Tensor]:
        y = operator(x1, x2, scale, offset=offset, bias=bias, output_dtype=torch.int8)
        ones = torch.ones(n, device=inputs.device)
        return {"y": stored(inputs, y), "sums": operator(x1, x2, ones, bias=bias, output_dtype=torch.int32)}

    return Step(call)


def weight_quant(inputs: Inputs, /, *, m: int, k: int, n: int, groups: int, four_bits: bool) -> Step:
    """Multiply by a weight of int8 or packed int4 that is restored on the way; returns `out`."""
    codes = torch.from_numpy(draw_integers(inputs.seed, "codes", k * n, -8 if four_bits else -128, 8 if four_bits else 128)).view(k, n)
    shape, coarse = (groups, n), 1.0 if four_bits else 0.0625
    x, scale, offset = (
        inputs.normal("x", (m, k)),
        inputs.normal("scale", shape, 0.01 * coarse, 0.1 * coarse),
        inputs.normal("offset", shape),
    )
    bias = inputs.normal("bias", (n,), dtype=torch.float32 if inputs.dtype == torch.bfloat16 else None)

    def plain(x: Tensor, weight: Tensor, scale: Tensor, offset: Tensor, *, bias: Tensor, **_: object) -> Tensor:
        return oracle.weight_quant_batchmatmul(x, codes, scale, offset, bias=bias)

    operator = inputs.fused("npu_weight_quant_batchmatmul", plain)
    weight = inputs.given("weight", int4_packed(codes) if four_bits else codes.to(torch.int8))
    size = k // groups if groups > 1 else 0
    return Step(lambda: {"out": operator(x, weight, scale, offset, bias=bias, antiquant_group_size=size)})


def dequant(inputs: Inputs, /, *, m: int, k: int, n: int, smooth: bool) -> Step:
    """Quantise the rows of x, multiply by int8, bring back; returns `out`."""
    operator = inputs.fused(
        "npu_quant_matmul_dequant", lambda x, weight, scale, *, smooth_scale: oracle.quant_matmul_dequant(x, weight, scale, smooth_scale)
    )
    x, weight, scale = grid(inputs, m, k), whole(inputs, "weight", (n, k), -128, 128, torch.int8), short(inputs, "scale", (n,))
    factor = (
        inputs.given("smooth", torch.from_numpy(2.0 ** draw_integers(inputs.seed, "smooth", k, -1, 2)).to(inputs.dtype)) if smooth else None
    )
    return Step(lambda: {"out": operator(x, weight, scale, smooth_scale=factor)})


def grid(inputs: Inputs, rows: int, width: int) -> Tensor:
    """Draw rows that quantise without a tie: integers up to 63 times a power of two, and each row has one of 127."""
    values = torch.from_numpy(draw_integers(inputs.seed, "x", rows * width, -63, 64)).view(rows, width)
    values[:, 3] = 127
    return inputs.given("x", (values * 2.0**-6).to(inputs.dtype))


def ffn(inputs: Inputs, /, *, rows: int, width: int, hidden: int, activation: str) -> Step:
    """Feed forward [rows, width]; returns `out`."""

    def plain(x: Tensor, first: Tensor, second: Tensor, activation: str, *, bias1: Tensor, bias2: Tensor) -> Tensor:
        return oracle.ffn(x, first, second, activation, (bias1, bias2))

    operator = inputs.fused("npu_ffn", plain)
    kind = torch.float32 if inputs.dtype == torch.bfloat16 else None
    x, first = inputs.normal("x", (rows, width)), inputs.normal("first", (width, hidden), width**-0.5)
    second = inputs.normal("second", (hidden, width), hidden**-0.5)
    biases = {"bias1": inputs.normal("bias1", (hidden,), dtype=kind), "bias2": inputs.normal("bias2", (width,), dtype=kind)}
    return Step(lambda: {"out": operator(x, first, second, activation, **biases)})


def ffn_of_experts(inputs: Inputs, /, *, width: int, hidden: int, activation: str) -> Step:
    """Feed forward the rows of three experts, one of which has none; returns `out`."""
    operator = inputs.fused(
        "npu_ffn", lambda x, one, two, activation, *, expert_tokens: oracle.ffn_of_experts(x, one, two, activation, expert_tokens)
    )
    sizes = [17, 0, 9]
    x, first = inputs.normal("x", (sum(sizes), width)), inputs.normal("first", (3, width, hidden), width**-0.5)
    second = inputs.normal("second", (3, hidden, width), hidden**-0.5)
    return Step(lambda: {"out": operator(x, first, second, activation, expert_tokens=sizes)})


def transposed(inputs: Inputs, /, *, m: int, batch: int, k: int, n: int) -> Step:
    """Multiply [m, batch, k] by [batch, k, n]; returns `out` [m, batch, n]."""
    operator = inputs.fused("npu_transpose_batchmatmul", lambda x, weight, *, perm_x1: oracle.transpose_batchmatmul(x, weight))
    x, weight = inputs.normal("x", (m, batch, k)), inputs.normal("weight", (batch, k, n), k**-0.5)
    return Step(lambda: {"out": operator(x, weight, perm_x1=(1, 0, 2))})


def adapters(inputs: Inputs, /, *, rows: int, width: int, low: int, target: int) -> Step:
    """Add low-rank products of each row's adapter to columns 16 onward, in place; returns `out`."""
    y, x = inputs.normal("y", (rows, 2 * target)), inputs.normal("x", (rows, width))
    a, b = inputs.normal("a", (3, 2, low, width), width**-0.5), inputs.normal("b", (3, 2, target, low), low**-0.5)
    indices = whole(inputs, "indices", (rows,), -1, 3)
    operator = inputs.fused("npu_batch_gather_matmul_", oracle.batch_gather_matmul)
    return Step(lambda: {"out": operator(y.clone(), x, b, indices, a, 1, 0.5, 16, target)})


SIZE: Mapping[str, Scalar] = {"m": 33, "k": 256, "n": 64}
ODD: Mapping[str, Scalar] = {"m": 5, "k": 96, "n": 32}

CASES = (
    *on_npu(
        quant_matmul,
        {
            "npu_quant_matmul-tokens": {**SIZE, "by_token": True, "bias": "none"},
            "npu_quant_matmul-tokens-bias": {**ODD, "by_token": True, "bias": "float32"},
            "npu_quant_matmul-tokens-int32_bias": {**ODD, "by_token": True, "bias": "int32"},
        },
        HALVES,
    ),
    *on_npu(quant_matmul, {"npu_quant_matmul-channels": {**ODD, "by_token": False, "bias": "none"}}, ("bfloat16",)),
    *on_npu(
        quant_matmul_to_integers,
        {"npu_quant_matmul-int8": {**SIZE, "transposed": False}, "npu_quant_matmul-int8-transposed": {**ODD, "transposed": True}},
        ("float32",),
    ),
    *on_npu(
        weight_quant,
        {
            "npu_weight_quant_batchmatmul": {**SIZE, "groups": 1, "four_bits": False},
            "npu_weight_quant_batchmatmul-groups": {**ODD, "groups": 3, "four_bits": False},
            "npu_weight_quant_batchmatmul-int4": {**SIZE, "groups": 4, "four_bits": True},
        },
        HALVES,
    ),
    *on_npu(
        dequant,
        {"npu_quant_matmul_dequant": {**SIZE, "smooth": False}, "npu_quant_matmul_dequant-smooth": {**SIZE, "smooth": True}},
        ("float16",),
    ),
    *on_npu(
        ffn,
        {f"npu_ffn-{name}": {"rows": 17, "width": 64, "hidden": 128, "activation": name} for name in ("relu", "gelu", "silu", "fastgelu")},
        HALVES,
    ),
    *on_npu(ffn_of_experts, {"npu_ffn-experts": {"width": 64, "hidden": 128, "activation": "gelu"}}, ("float16",)),
    *on_npu(transposed, {"npu_transpose_batchmatmul": {"m": 33, "batch": 3, "k": 128, "n": 64}}),
    *on_npu(adapters, {"npu_batch_gather_matmul_": {"rows": 9, "width": 64, "low": 16, "target": 32}}, ("float16",)),
)
