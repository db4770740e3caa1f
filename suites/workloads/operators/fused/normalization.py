"""torch_npu's normalisations with what is fused to them: residual sums, casts, activations. Knows no device."""

from collections.abc import Callable

from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles.fused import normalization as oracle
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import HALVES, on_npu

EPSILON = 1e-5


def rms_norm(inputs: Inputs, /, *, tokens: int, width: int, gemma: bool = False) -> Step:
    """Normalise [tokens, width]; returns `out`, `rstd` and gradients."""
    plain, name = (oracle.gemma_rms_norm, "npu_gemma_rms_norm") if gemma else (oracle.rms_norm, "npu_rms_norm")
    operator = inputs.fused(name, plain)
    operands = {"x": inputs.normal("x", (tokens, width), scale=3.0), "gamma": inputs.normal("gamma", (width,), scale=0.25, mean=1.0)}

    def call(x: Tensor, gamma: Tensor) -> dict[str, Tensor]:
        out, rstd = operator(x, gamma, EPSILON)
        return {"out": out, "rstd": rstd}

    if gemma:  # torch_npu has no gradient for it
        return Step(lambda: call(**operands))
    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (tokens, width))}))


def rms_norm_2d(inputs: Inputs, /, *, tokens: int, rows: int, width: int) -> Step:
    """Normalise over the last two dimensions of [tokens, rows, width]; returns `out`, `rstd` and gradients."""
    operator = inputs.fused("npu_rms_norm", oracle.rms_norm)
    gamma = inputs.normal("gamma", (rows, width), scale=0.25, mean=1.0)
    operands = {"x": inputs.normal("x", (tokens, rows, width)), "gamma": gamma}

    def call(x: Tensor, gamma: Tensor) -> dict[str, Tensor]:
        out, rstd = operator(x, gamma, EPSILON)
        return {"out": out, "rstd": rstd}

    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (tokens, rows, width))}))


def add_rms_norm(inputs: Inputs, /, *, tokens: int, width: int) -> Step:
    """Add and normalise [tokens, width]; returns `out`, `rstd`, `total`."""
    operator = inputs.fused("npu_add_rms_norm", oracle.add_rms_norm)
    x1, x2, gamma = _residual(inputs, tokens, width)
    return Step(lambda: dict(zip(("out", "rstd", "total"), operator(x1, x2, gamma, EPSILON), strict=True)))


def add_rms_norm_functional(inputs: Inputs, /, *, tokens: int, width: int) -> Step:
    """As `add_rms_norm_in_place`, on copies that the operator makes; returns `rstd`, `out`, `total`."""

    def plain(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
        out, rstd, total = oracle.add_rms_norm(x1, x2, gamma, epsilon)
        return rstd, out, total

    operator = inputs.fused("npu_add_rms_norm_v2_functional", plain)
    x1, x2, gamma = _residual(inputs, tokens, width)
    return Step(lambda: dict(zip(("rstd", "out", "total"), operator(x1, x2, gamma, EPSILON), strict=True)))


def add_rms_norm_cast(inputs: Inputs, /, *, tokens: int, width: int) -> Step:
    """Add and normalise [tokens, width]; returns `wide` (float32), `out`, `rstd`, `total`."""
    operator = inputs.fused("npu_add_rms_norm_cast", oracle.add_rms_norm_cast)
    x1, x2, gamma = _residual(inputs, tokens, width)
    return Step(lambda: dict(zip(("wide", "out", "rstd", "total"), operator(x1, x2, gamma, EPSILON), strict=True)))


def add_rms_norm_in_place(inputs: Inputs, /, *, tokens: int, width: int) -> Step:
    """Add and normalise [tokens, width] in place; returns `out`, `total`."""
    operator = inputs.fused("npu_add_rms_norm_v2", oracle.add_rms_norm_v2)
    x1, x2, gamma = _residual(inputs, tokens, width)

    def call() -> dict[str, Tensor]:
        out, total = x1.clone(), x2.clone()
        operator(out, total, gamma, EPSILON)
        return {"out": out, "total": total}

    return Step(call)


def _residual(inputs: Inputs, tokens: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    x1, x2 = inputs.normal("x1", (tokens, width)), inputs.normal("x2", (tokens, width), scale=2.0)
    return x1, x2, inputs.normal("gamma", (width,), scale=0.25, mean=1.0)


def add_layer_norm(inputs: Inputs, /, *, tokens: int, width: int) -> Step:
    """LayerNorm of a sum [tokens, width]; returns `out`, `mean`, `rstd`, `total` and gradients through out and total."""
    operator = inputs.fused("npu_add_layer_norm", oracle.add_layer_norm)
    gamma, beta = _affine(inputs, width)
    x1, x2 = inputs.normal("x1", (tokens, width), mean=0.5), inputs.normal("x2", (tokens, width))

    def call(x1: Tensor, x2: Tensor, gamma: Tensor, beta: Tensor) -> dict[str, Tensor]:
        return dict(zip(("out", "mean", "rstd", "total"), operator(x1, x2, gamma, beta, EPSILON, True), strict=True))

    cotangents = {"out": inputs.normal("cotangent", (tokens, width)), "total": inputs.normal("of_total", (tokens, width))}
    return Step(with_gradients(call, {"x1": x1, "x2": x2, "gamma": gamma, "beta": beta}, cotangents))


def deep_norm(inputs: Inputs, /, *, tokens: int, width: int) -> Step:
    """LayerNorm of `alpha x + gx` [tokens, width]; returns `mean`, `rstd`, `out` and gradients."""
    operator = inputs.fused("npu_deep_norm", oracle.deep_norm)
    gamma, beta = _affine(inputs, width)
    x, gx = inputs.normal("x", (tokens, width), mean=0.5), inputs.normal("gx", (tokens, width))

    def call(x: Tensor, gx: Tensor, beta: Tensor, gamma: Tensor) -> dict[str, Tensor]:
        return dict(zip(("mean", "rstd", "out"), operator(x, gx, beta, gamma, 0.3, EPSILON), strict=True))

    cotangents = {"out": inputs.normal("cotangent", (tokens, width))}
    return Step(with_gradients(call, {"x": x, "gx": gx, "beta": beta, "gamma": gamma}, cotangents))


def _affine(inputs: Inputs, width: int) -> tuple[Tensor, Tensor]:
    return inputs.normal("gamma", (width,), scale=0.25, mean=1.0), inputs.normal("beta", (width,), scale=0.25)


def group_norm_silu(inputs: Inputs, /, *, batch: int, channels: int, groups: int, side: int) -> Step:
    """SiLU of GroupNorm of [batch, channels, side, side]; returns `out`, `mean`, `rstd`."""
    operator = inputs.fused("npu_group_norm_silu", oracle.group_norm_silu)
    x, gamma, beta = inputs.normal("x", (batch, channels, side, side), mean=0.5), *_affine(inputs, channels)
    return Step(lambda: dict(zip(("out", "mean", "rstd"), operator(x, gamma, beta, groups, EPSILON), strict=True)))


def group_norm_swish(inputs: Inputs, /, *, batch: int, channels: int, groups: int, side: int) -> Step:
    """Swish of GroupNorm of [batch, channels, side, side]; returns `out`, `mean`, `rstd` and gradients."""
    operator: Callable[..., tuple[Tensor, ...]] = inputs.fused("npu_group_norm_swish", oracle.group_norm_swish)
    shape = (batch, channels, side, side)
    weight, bias = _affine(inputs, channels)

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
        return dict(zip(("out", "mean", "rstd"), operator(x, groups, weight, bias, eps=EPSILON, swish_scale=1.5), strict=True))

    operands = {"x": inputs.normal("x", shape, mean=0.5), "weight": weight, "bias": bias}
    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", shape)}))


ODD, EDGE = {"tokens": 33, "width": 129}, {"tokens": 127, "width": 576}
IMAGE = {"batch": 3, "channels": 24, "groups": 6, "side": 9}

CASES = (
    *on_npu(rms_norm, {"npu_rms_norm": EDGE, "npu_rms_norm-odd": ODD, "npu_rms_norm-one": {"tokens": 1, "width": 2049}}),
    *on_npu(rms_norm_2d, {"npu_rms_norm-two_dimensions": {"tokens": 17, "rows": 3, "width": 65}}),
    *on_npu(rms_norm, {"npu_gemma_rms_norm": {**EDGE, "gemma": True}, "npu_gemma_rms_norm-odd": {**ODD, "gemma": True}}),
    *on_npu(add_rms_norm, {"npu_add_rms_norm": EDGE, "npu_add_rms_norm-odd": ODD}),
    *on_npu(add_rms_norm_cast, {"npu_add_rms_norm_cast": EDGE, "npu_add_rms_norm_cast-odd": ODD}, HALVES),
    *on_npu(add_rms_norm_in_place, {"npu_add_rms_norm_v2": EDGE, "npu_add_rms_norm_v2-odd": ODD}),
    *on_npu(add_rms_norm_functional, {"npu_add_rms_norm_v2_functional": ODD}),
    *on_npu(add_layer_norm, {"npu_add_layer_norm": EDGE, "npu_add_layer_norm-odd": ODD}),
    *on_npu(deep_norm, {"npu_deep_norm": EDGE, "npu_deep_norm-odd": ODD}),
    *on_npu(group_norm_silu, {"npu_group_norm_silu": IMAGE}),
    *on_npu(group_norm_swish, {"npu_group_norm_swish": IMAGE}),
)
