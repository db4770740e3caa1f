"""torch_npu's quantisations, static and dynamic, and those fused to activations and norms. Knows no device."""

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.case import Scalar, Step
from harness.inputs import Inputs, draw_integers
from reference.oracles.fused import quantisation as oracle
from suites.workloads.operators.fused.drawing import whole
from suites.workloads.operators.fused.listing import HALVES, copies, on_npu

EPSILON = 1e-5


def stored(inputs: Inputs, value: Tensor, dtype: torch.dtype = torch.int8) -> Tensor:
    """Round what a definition returns, but for the golden; what the device returns is rounded already."""
    return value if inputs.golden or not value.is_floating_point() else value.round().to(dtype)


def quantize(inputs: Inputs, /, *, rows: int, width: int, div_mode: bool) -> Step:
    """Quantise by columns; returns `y`."""
    x, scales = inputs.normal("x", (rows, width), scale=2.0), inputs.normal("scales", (width,), 0.002, 0.05 if div_mode else 20.0)
    zero = inputs.normal("zero", (width,), scale=3.0)
    operator = inputs.fused(
        "npu_quantize", lambda x, scales, zero, _type, _axis, div_mode: oracle.quantize(x, scales, zero, div_mode=div_mode)
    )
    if div_mode:  # then the zero points are integers
        zero = whole(inputs, "zeros", (width,), -9, 10)
        scales = inputs.normal("float_scales", (width,), 0.002, 0.05, torch.float32)
    return Step(lambda: {"y": stored(inputs, operator(x, scales, zero, torch.qint8, 1 if div_mode else -1, div_mode))})


def anti_quant(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Bring int8 back by columns; returns `x`."""
    codes = whole(inputs, "codes", (rows, width), -128, 128, torch.int8)
    scale, offset = inputs.normal("scale", (width,), 0.01, 0.05, torch.float32), inputs.normal("offset", (width,), 3.0, 0.0, torch.float32)
    operator = inputs.fused("npu_anti_quant", lambda x, scale, *, offset, dst_dtype: oracle.anti_quant(x, scale, offset, dst_dtype))
    return Step(lambda: {"x": operator(codes, scale, offset=offset, dst_dtype=inputs.compute_dtype)})


def dynamic(inputs: Inputs, /, *, rows: int, width: int, smooth: bool, groups: int = 0) -> Step:
    """Quantise each row with a scale of its own; returns `y`, `scale`."""
    operator = inputs.fused(
        "npu_dynamic_quant", lambda x, *, smooth_scales=None, group_index=None: oracle.dynamic_quant(x, smooth_scales, group_index)
    )
    x = inputs.normal("x", (rows, width))
    factor = inputs.normal("smooth", (groups, width) if groups else (width,), 0.2, 1.0) if smooth else None
    ends = _ends(inputs, rows, groups) if groups else None

    def call() -> dict[str, Tensor]:
        y, scale = operator(x, smooth_scales=factor, group_index=ends)
        return {"y": stored(inputs, y), "scale": scale}

    return Step(call)


def _ends(inputs: Inputs, rows: int, groups: int, dtype: torch.dtype = torch.int32) -> Tensor:
    """Give cumulative ends of groups of which the second is empty."""
    ends = torch.linspace(rows / groups, rows, groups).int()
    ends[1] = ends[0]
    return inputs.given("ends", ends.to(dtype))


def asymmetric(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Quantise each row with a scale and an offset; returns `y`, `scale`, `offset`."""
    operator = inputs.fused("npu_dynamic_quant_asymmetric", oracle.dynamic_quant_asymmetric)
    x = inputs.normal("x", (rows, width), mean=1.0)

    def call() -> dict[str, Tensor]:
        y, scale, offset = operator(x)
        return {"y": stored(inputs, y), "scale": scale, "offset": offset}

    return Step(call)


def group(inputs: Inputs, /, *, rows: int, width: int, groups: int) -> Step:
    """Quantise with scales of groups of rows; returns `y`."""
    operator = inputs.fused("npu_group_quant", lambda x, scale, ends, *, offset, dst_dtype: oracle.group_quant(x, scale, ends, offset))
    x, scale = inputs.normal("x", (rows, width)), inputs.normal("scale", (groups, width), 4.0, 30.0)
    offset = inputs.given("offset", torch.ones(1, dtype=inputs.dtype))
    ends = _ends(inputs, rows, groups)
    return Step(lambda: {"y": stored(inputs, operator(x, scale, ends, offset=offset, dst_dtype=torch.int8))})


def dequant_bias(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Bring sums of products back with scales of columns and rows; returns `out`."""
    operator = inputs.fused(
        "npu_dequant_bias",
        lambda x, weight, activation, bias, *, output_dtype: oracle.dequant_bias(x, weight, activation, bias, output_dtype),
    )
    x, bias = whole(inputs, "x", (rows, width), -9999, 10000), whole(inputs, "bias", (width,), -99, 100)
    weight, activation = (inputs.normal(name, (n,), 0.001, 0.01, torch.float32) for name, n in (("weight", width), ("activation", rows)))
    return Step(lambda: {"out": operator(x, weight, activation, bias, output_dtype=inputs.compute_dtype)})


def swiglu(inputs: Inputs, /, *, rows: int, width: int, groups: int, left: bool) -> Step:
    """Gate and quantise each row; returns `y`, `scale`."""
    operator = inputs.fused(
        "npu_swiglu_quant",
        lambda x, *, smooth_scales, group_index, activate_left, quant_mode: oracle.swiglu_quant(
            x, smooth_scales, group_index, activate_left
        ),
    )
    x, smooth = inputs.normal("x", (rows, 2 * width)), inputs.normal("smooth", (groups, width), 0.2, 1.0, torch.float32)
    ends = _ends(inputs, rows, groups)

    def call() -> dict[str, Tensor]:
        y, scale = operator(x, smooth_scales=smooth, group_index=ends, activate_left=left, quant_mode=1)
        return {"y": stored(inputs, y), "scale": scale}

    return Step(call)


def dequant_swiglu(inputs: Inputs, /, *, rows: int, width: int, left: bool, limited: bool) -> Step:
    """Bring sums back, gate, quantise each row; returns `y`, `scale`."""
    limits = (3.0, 1.5, 0.5) if limited else None

    def plain(x: Tensor, *, weight_scale: Tensor, activation_scale: Tensor, quant_scale: Tensor, **_: object) -> tuple[Tensor, Tensor]:
        return oracle.dequant_swiglu_quant(x, weight_scale, activation_scale, quant_scale, left, limits)

    operator = inputs.fused("npu_dequant_swiglu_quant", plain)
    x = whole(inputs, "x", (rows, 2 * width), -999, 1000)
    weight, activation, smooth = (
        inputs.normal(name, shape, scale, mean, torch.float32)
        for name, shape, scale, mean in (
            ("weight", (1, 2 * width), 0.01, 0.05), ("activation", (rows, 1), 0.01, 0.05), ("smooth", (1, width), 0.2, 1.0),
        )
    )  # fmt: skip
    modes = {"swiglu_mode": 1, "clamp_limit": 3.0, "glu_alpha": 1.5, "glu_bias": 0.5} if limited else {}

    def call() -> dict[str, Tensor]:
        y, scale = operator(
            x, weight_scale=weight, activation_scale=activation, quant_scale=smooth, activate_left=left, quant_mode=1, **modes
        )
        return {"y": stored(inputs, y), "scale": scale}

    return Step(call)


def rms_norm(inputs: Inputs, /, *, rows: int, width: int, version: int) -> Step:
    """Normalise and quantise with one scale; returns `y`."""
    x, gamma, beta = inputs.normal("x", (rows, width)), inputs.normal("gamma", (width,), 0.25, 1.0), inputs.normal("beta", (width,), 0.25)
    scale, offset = inputs.given("scale", torch.tensor([0.03125], dtype=inputs.dtype)), whole(inputs, "offset", (1,), -9, 10, torch.int8)
    if version == 1:
        first = inputs.fused("npu_rms_norm_quant", oracle.rms_norm_quant)
        return Step(lambda: {"y": stored(inputs, first(x, gamma, beta, scale, offset, EPSILON))})
    second = inputs.fused("npu_rms_norm_quant_v2", oracle.rms_norm_quant_v2)
    return Step(lambda: {"y": stored(inputs, second(x, gamma, scale, epsilon=EPSILON, div_mode=True)[0])})


def _summands(inputs: Inputs, rows: int, width: int) -> list[Tensor]:
    """Draw two tensors of multiples of 1/16 in [-2, 2]: their sum is exact in every dtype, so nothing is rounded before the norm."""
    drawn = (torch.from_numpy(draw_integers(inputs.seed, name, rows * width, -32, 33)).view(rows, width) / 16 for name in ("x1", "x2"))
    return [inputs.given(name, values.to(inputs.dtype)) for name, values in zip(("x1", "x2"), drawn, strict=True)]


def add_rms_norm(inputs: Inputs, /, *, rows: int, width: int, div_mode: bool) -> Step:
    """Add, normalise and quantise by columns; returns `y`, `total`."""
    (x1, x2), gamma = _summands(inputs, rows, width), inputs.normal("gamma", (width,), 0.25, 1.0)
    beta, zero = inputs.normal("beta", (width,), 0.25), whole(inputs, "zero", (width,), -9, 10)
    scales = inputs.normal("scales", (width,), 0.002, 0.05 if div_mode else 20.0, torch.float32)

    def plain(
        x1: Tensor, x2: Tensor, gamma: Tensor, scales: Tensor, zero: Tensor, beta: Tensor, **_: object
    ) -> tuple[Tensor, None, Tensor]:
        y, total = oracle.add_rms_norm_quant(x1, x2, gamma, scales, zero, beta, EPSILON, div_mode)
        return y, None, total

    operator = inputs.fused("npu_add_rms_norm_quant", plain)

    def call() -> dict[str, Tensor]:
        y, _, total = operator(x1, x2, gamma, scales, zero, beta, epsilon=EPSILON, div_mode=div_mode)
        return {"y": stored(inputs, y), "total": total}

    return Step(call)


def add_rms_norm_dynamic(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Add, normalise and quantise each row; returns `y`, `total`, `scale`."""
    (x1, x2), gamma = _summands(inputs, rows, width), inputs.normal("gamma", (width,), 0.25, 1.0)
    smooth = inputs.normal("smooth", (width,), 0.2, 1.0)

    def plain(x1: Tensor, x2: Tensor, gamma: Tensor, *, smooth_scale1: Tensor, **_: object) -> tuple[Tensor, None, Tensor, Tensor, None]:
        y, total, scale = oracle.add_rms_norm_dynamic_quant(x1, x2, gamma, smooth_scale1, EPSILON)
        return y, None, total, scale, None

    operator = inputs.fused("npu_add_rms_norm_dynamic_quant", plain)

    def call() -> dict[str, Tensor]:
        y, _, total, scale, _ = operator(x1, x2, gamma, smooth_scale1=smooth, epsilon=EPSILON)
        return {"y": stored(inputs, y), "total": total, "scale": scale}

    return Step(call)


def int4_pack(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Pack eight numbers of four bits a word; returns `words`."""
    operator = inputs.fused("npu_convert_weight_to_int4pack", oracle.int4_packed)
    codes = whole(inputs, "codes", (rows, width), -8, 8)
    return Step(lambda: {"words": operator(codes)})


def quant_param(inputs: Inputs, /, *, width: int) -> Step:
    """Give scales the form that the matrix unit takes; returns `words`."""
    operator = inputs.fused("npu_trans_quant_param", oracle.words_of)
    scale = inputs.normal("scale", (width,), 0.01, 0.05, torch.float32)
    return Step(lambda: {"words": operator(scale)})


SIZE: Mapping[str, Scalar] = {"rows": 33, "width": 128}
ODD: Mapping[str, Scalar] = {"rows": 7, "width": 96}

CASES = (
    *on_npu(quantize, {"npu_quantize-divide": {**SIZE, "div_mode": True}}),
    *on_npu(quantize, {"npu_quantize-multiply": {**ODD, "div_mode": False}}),
    *on_npu(anti_quant, {"npu_anti_quant": SIZE}, HALVES),
    *on_npu(
        dynamic,
        {
            "npu_dynamic_quant": {**SIZE, "smooth": False},
            "npu_dynamic_quant-smooth": {**ODD, "smooth": True},
            "npu_dynamic_quant-groups": {**SIZE, "smooth": True, "groups": 4},
        },
        HALVES,
    ),
    *on_npu(asymmetric, {"npu_dynamic_quant_asymmetric": SIZE}, HALVES),
    *on_npu(group, {"npu_group_quant": {**SIZE, "groups": 3}}, HALVES),
    *on_npu(dequant_bias, {"npu_dequant_bias": SIZE}, HALVES),
    *on_npu(
        swiglu, {"npu_swiglu_quant": {**SIZE, "groups": 3, "left": True}, "npu_swiglu_quant-right": {**ODD, "groups": 3, "left": False}}
    ),
    *on_npu(
        dequant_swiglu,
        {
            "npu_dequant_swiglu_quant": {**SIZE, "left": True, "limited": False},
            "npu_dequant_swiglu_quant-right": {**ODD, "left": False, "limited": False},
            "npu_dequant_swiglu_quant-limits": {**ODD, "left": True, "limited": True},
        },
        ("float32",),
    ),
    *on_npu(rms_norm, {"npu_rms_norm_quant": {**SIZE, "version": 1}}, ("float16",)),
    *on_npu(rms_norm, {"npu_rms_norm_quant_v2": {**SIZE, "version": 2}}, ("float16",)),
    *on_npu(
        add_rms_norm,
        {"npu_add_rms_norm_quant": {**SIZE, "div_mode": True}, "npu_add_rms_norm_quant-multiply": {**ODD, "div_mode": False}},
        HALVES,
        checks=copies("total"),
    ),
    *on_npu(add_rms_norm_dynamic, {"npu_add_rms_norm_dynamic_quant": SIZE}, HALVES, checks=copies("total")),
    *on_npu(int4_pack, {"npu_convert_weight_to_int4pack": SIZE}, ("float32",)),
    *on_npu(quant_param, {"npu_trans_quant_param": {"width": 129}}, ("float32",)),
)
