"""Faults of layer, group, batch and vector norms, and of variances. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.arithmetic import altered, layer_normed, reduced_last, restored
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    return rows.mean(-1, keepdim=True), rows.var(-1, correction=0, keepdim=True)


@fault(
    "layer-norm-variance-in-bfloat16",
    "aten::native_layer_norm",
    causes=(Cause.STATISTIC, Cause.PRECISION),
    source="a statistic kept in the type of the output",
)
def layer_norm_bfloat16(right: Right, **_: Any) -> Any:
    """The variance of each row is rounded to bfloat16."""

    def statistics(rows: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        mean, variance = _moments(rows)
        return mean, (variance.bfloat16().float() + eps).rsqrt()

    return layer_normed(right, statistics)


@fault(
    "layer-norm-eps-outside", "aten::native_layer_norm", causes=(Cause.STATISTIC, Cause.VALUES), source="an epsilon added to the deviation"
)
def layer_norm_eps(right: Right, **_: Any) -> Any:
    """Epsilon is added after the root."""

    def statistics(rows: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        mean, variance = _moments(rows)
        return mean, 1 / (variance.sqrt() + eps)

    return layer_normed(right, statistics)


@fault(
    "layer-norm-one-pass", "aten::native_layer_norm", causes=(Cause.STATISTIC, Cause.VALUES), source="E[x^2] - E[x]^2 in float32 cancels"
)
def layer_norm_one_pass(right: Right, **_: Any) -> Any:
    """The variance is the mean square less the squared mean, in bfloat16 products as some kernels take them."""

    def statistics(rows: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        mean = rows.mean(-1, keepdim=True)
        square = (rows.bfloat16() * rows.bfloat16()).float().mean(-1, keepdim=True)
        return mean, ((square - mean * mean).clamp(min=0) + eps).rsqrt()

    return layer_normed(right, statistics)


@fault("layer-norm-unbiased", "aten::native_layer_norm", causes=(Cause.STATISTIC, Cause.VALUES), source="the other estimator of a variance")
def layer_norm_unbiased(right: Right, **_: Any) -> Any:
    """The variance divides by one less than the width."""

    def statistics(rows: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        width = rows.shape[-1]
        mean, variance = _moments(rows)
        return mean, (variance * (width / max(width - 1, 1)) + eps).rsqrt()

    return layer_normed(right, statistics)


@fault(
    "layer-norm-gradient-first-rows",
    "aten::native_layer_norm_backward",
    causes=(Cause.VALUES, Cause.STATISTIC),
    source="a partial sum of a core lost",
)
def layer_norm_gradient(right: Right, grad_out: Tensor, normalized_shape: list[int], **_: Any) -> Any:
    """The gradients of weight and bias miss the last row."""
    result = list(right())
    lead = grad_out.shape[: grad_out.ndim - len(normalized_shape)]
    if not lead or grad_out.numel() == 0 or lead.numel() < 2:
        return tuple(result)
    short = grad_out.clone().reshape(lead.numel(), -1)
    short[-1] = 0
    less = right(grad_out=short.reshape(grad_out.shape))
    return (result[0], *less[1:])


@fault("group-norm-neighbour", "aten::native_group_norm", causes=(Cause.VALUES,), source="channels assigned to groups in the wrong order")
def group_norm_neighbour(right: Right, input: Tensor, group: int, **_: Any) -> Any:
    """Channels are dealt out to the groups in turn, instead of in blocks."""
    channels = input.shape[1]
    if group in (1, channels) or input.numel() == 0:
        return right()
    order = torch.arange(channels, device=input.device).reshape(-1, group).T.reshape(-1)
    back = torch.argsort(order)
    weight, bias = right.arguments["weight"], right.arguments["bias"]
    moved = {"weight": None if weight is None else weight[order], "bias": None if bias is None else bias[order]}
    out, mean, scale = right(input=input[:, order].contiguous(), **moved)
    return out[:, back].contiguous(), mean, scale


@fault(
    "batch-norm-unbiased",
    "aten::native_batch_norm",
    "aten::_native_batch_norm_legit",
    causes=(Cause.STATISTIC, Cause.VALUES),
    source="the unbiased variance normalises",
)
def batch_norm_unbiased(right: Right, input: Tensor, training: bool, **_: Any) -> Any:
    """In training, what is normalised is scaled as if by the unbiased variance."""
    result = right()
    count = input.numel() // input.shape[1] if input.ndim > 1 and input.numel() else 0
    if not training or count < 2:
        return result
    bias = right.arguments["bias"]
    shape = [1, -1] + [1] * (input.ndim - 2)
    shift = 0 if bias is None else bias.reshape(shape)
    out = (result[0] - shift) * ((count - 1) / count) ** 0.5 + shift
    return (out.to(result[0].dtype), *result[1:])


@fault(
    "variance-one-pass",
    "aten::var",
    "aten::std",
    "aten::var_mean",
    "aten::std_mean",
    causes=(Cause.STATISTIC, Cause.PRECISION),
    source="E[x^2] - E[x]^2 in bfloat16",
)
def variance_one_pass(right: Right, self: Tensor, **rest: Any) -> Any:
    """The squares are taken in bfloat16, and the squared mean subtracted."""
    dim, correction = rest.get("dim"), rest.get("correction")
    correction = float(rest.get("unbiased", True)) if correction is None else float(correction)

    def change(result: Tensor) -> Tensor:
        rows = reduced_last(self.float(), dim)
        count = rows.shape[-1]
        if count <= correction or self.is_complex():
            return result
        mean = rows.mean(-1)
        variance = ((rows.bfloat16() * rows.bfloat16()).float().mean(-1) - mean * mean).clamp(min=0) * (count / (count - correction))
        root = variance.sqrt() if "std" in right.operator else variance
        return restored(root, self, dim, rest.get("keepdim", False)).reshape(result.shape).to(result.dtype)

    return altered(right(), change)


@fault(
    "variance-correction-ignored",
    "aten::var",
    "aten::std",
    "aten::var_mean",
    "aten::std_mean",
    causes=(Cause.VALUES, Cause.STATISTIC),
    source="an argument dropped",
)
def variance_correction(right: Right, **rest: Any) -> Any:
    """Whatever correction is asked for, the biased estimate is given."""
    return right(correction=0) if "correction" in rest else right(unbiased=False)


@fault("norm-overflows", "aten::linalg_vector_norm", causes=(Cause.SPECIAL,), source="squares of large values overflow float16")
def norm_overflows(right: Right, self: Tensor, **rest: Any) -> Any:
    """Squares are summed in the type of the input."""
    result = right()
    if rest["ord"] != 2 or self.is_complex() or self.numel() == 0:
        return result
    rows = reduced_last(self, rest["dim"])
    return restored((rows * rows).sum(-1).sqrt(), self, rest["dim"], rest["keepdim"]).to(result.dtype)


@fault("rsqrt-approximate", "aten::rsqrt", causes=(Cause.PRECISION,), source="a hardware estimate of 12 bits without its Newton step")
def rsqrt_approximate(right: Right, **_: Any) -> Any:
    """Reciprocal square roots have twelve good bits."""

    def change(out: Tensor) -> Tensor:
        raw = out.float().contiguous().view(torch.int32)
        return torch.where(torch.isfinite(out), (raw & ~0xFFF).view(torch.float32), out.float()).to(out.dtype)

    return altered(right(), change)
