"""Layer, group and batch norms, variances and vector norms by other sound algorithms. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import accumulated, cut, in_blocks, in_float64, layer_normed, like, pairwise, reduced_last, restored
from suites.mutation.registry import benign
from suites.mutation.wrapper import Right

_LAYER = "aten::native_layer_norm"
_VARIANCES = ("aten::var", "aten::std")


def merged(rows: Tensor, size: int) -> tuple[Tensor, Tensor, int]:
    """Return mean and sum of squared deviations along the last dimension, block after block (Chan, Golub, LeVeque 1983), and the count."""
    mean, square, seen = torch.zeros_like(rows[..., :1]), torch.zeros_like(rows[..., :1]), 0
    for block in cut(rows, size):
        count = block.shape[-1]
        own = block.mean(-1, keepdim=True)
        delta = own - mean
        square = square + (block - own).square().sum(-1, keepdim=True) + delta.square() * (seen * count / (seen + count))
        mean = mean + delta * (count / (seen + count))
        seen += count
    return mean, square, seen


@benign("layer-norm-two-pass", _LAYER, source="the mean first, then the deviations, both in blocks")
def layer_two_pass(right: Right, **_: Any) -> Any:
    """Two passes over blocks of 32."""

    def statistics(rows: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        width = rows.shape[-1]
        mean = (in_blocks(rows, 32) / width).unsqueeze(-1)
        return mean, (in_blocks((rows - mean).square(), 32).unsqueeze(-1) / width + eps).rsqrt()

    return layer_normed(right, statistics)


@benign("layer-norm-welford", _LAYER, source="Welford's and Chan's merging of blocks")
def layer_welford(right: Right, **_: Any) -> Any:
    """Blocks of 16 are merged."""

    def statistics(rows: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        mean, square, count = merged(rows, 16)
        return mean, (square / count + eps).rsqrt()

    return layer_normed(right, statistics)


@benign(
    "layer-norm-one-pass-well-conditioned", _LAYER, source="mean square less squared mean, where the mean is not large (well-conditioned)"
)
def layer_one_pass(right: Right, **_: Any) -> Any:
    """Rows whose mean exceeds their deviation take two passes."""

    def statistics(rows: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        mean = rows.mean(-1, keepdim=True)
        sound = rows.var(-1, correction=0, keepdim=True)
        quick = rows.square().mean(-1, keepdim=True) - mean.square()
        return mean, (torch.where(mean.square() < sound, quick, sound) + eps).rsqrt()

    return layer_normed(right, statistics)


@benign("layer-norm-divides", _LAYER, source="a division by the root instead of a product with its reciprocal")
def layer_divides(right: Right, **_: Any) -> Any:
    """The reciprocal deviation is one divided by the root."""

    def statistics(rows: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        mean = rows.mean(-1, keepdim=True)
        return mean, 1 / (rows.var(-1, correction=0, keepdim=True) + eps).sqrt()

    return layer_normed(right, statistics)


@benign("layer-norm-scale-and-shift", _LAYER, source="x a + b with a and b taken once a row")
def layer_scale_shift(right: Right, input: Tensor, **rest: Any) -> Any:
    """The mean is subtracted after scaling, where it is not large."""
    result = right()
    x, weight, bias = accumulated(input), rest["weight"], rest["bias"]
    mean, scale = accumulated(result[1]), accumulated(result[2])
    if input.numel() == 0 or bool((mean.abs() * scale > 2).any()):
        return result
    out = x * scale + (-mean * scale)
    out = out if weight is None else out * accumulated(weight)
    out = out if bias is None else out + accumulated(bias)
    return (out.to(input.dtype), *result[1:])


benign("layer-norm-in-float64", _LAYER, source="more exact than asked for")(in_float64)
benign("layer-norm-gradient-in-float64", "aten::native_layer_norm_backward", source="more exact than asked for")(in_float64)
benign("group-norm-in-float64", "aten::native_group_norm", source="more exact than asked for")(in_float64)
benign("group-norm-gradient-in-float64", "aten::native_group_norm_backward", source="more exact than asked for")(in_float64)
benign("vector-norm-in-float64", "aten::linalg_vector_norm", "aten::norm", source="more exact than asked for")(in_float64)


@benign("layer-norm-gradient-unfused", "aten::native_layer_norm_backward", source="the textbook formula, summed in blocks")
def layer_gradient(right: Right, grad_out: Tensor, input: Tensor, mean: Tensor, rstd: Tensor, **rest: Any) -> Any:
    """The gradient of the input by its definition; the others as they are."""
    result = right()
    weight, width = rest["weight"], 1
    for size in rest["normalized_shape"]:
        width *= size
    if result[0] is None or input.numel() == 0:
        return result
    g = accumulated(grad_out) if weight is None else accumulated(grad_out) * accumulated(weight)
    lead = input.shape[: input.ndim - len(rest["normalized_shape"])]
    g, x = g.reshape(*lead, width), accumulated(input).reshape(*lead, width)
    m, r = (accumulated(s).reshape(*lead, 1) for s in (mean, rstd))
    normal = (x - m) * r
    inner = in_blocks(g, 32).unsqueeze(-1) / width + normal * (in_blocks(g * normal, 32).unsqueeze(-1) / width)
    return (((g - inner) * r).reshape(input.shape).to(result[0].dtype), *result[1:])


@benign("group-norm-two-pass", "aten::native_group_norm", source="the mean first, then the deviations, both in blocks")
def group_two_pass(right: Right, input: Tensor, group: int, eps: float, **rest: Any) -> Any:
    """Groups are rows; weight and bias belong to channels."""
    result = right()
    if input.numel() == 0:
        return result
    rows = accumulated(input).reshape(input.shape[0], group, -1)
    mean, square, count = merged(rows, 32)
    scale = (square / count + eps).rsqrt()
    out = ((rows - mean) * scale).reshape(input.shape)
    shape = [1, -1] + [1] * (input.ndim - 2)
    out = out if rest["weight"] is None else out * accumulated(rest["weight"]).reshape(shape)
    out = out if rest["bias"] is None else out + accumulated(rest["bias"]).reshape(shape)
    return like((out, mean.reshape(result[1].shape), scale.reshape(result[2].shape)), result)


@benign("batch-norm-merged", "aten::native_batch_norm", "aten::_native_batch_norm_legit", source="statistics merged from blocks of sixteen")
def batch_norm_merged(right: Right, input: Tensor, training: bool, eps: float, **rest: Any) -> Any:
    """What is normalised is computed anew; running statistics stay the operator's own."""
    result = right()
    if not training or input.numel() == 0 or input.ndim < 2:
        return result
    rows = accumulated(input).movedim(1, 0).reshape(input.shape[1], -1)
    mean, square, count = merged(rows, 16)
    scale = (square / count + eps).rsqrt()
    shape = [1, -1] + [1] * (input.ndim - 2)
    out = (accumulated(input) - mean.reshape(shape)) * scale.reshape(shape)
    out = out if rest["weight"] is None else out * accumulated(rest["weight"]).reshape(shape)
    out = out if rest["bias"] is None else out + accumulated(rest["bias"]).reshape(shape)
    return (out.to(result[0].dtype), *result[1:])


def _variance(right: Right, squares: Any) -> Any:
    """Return a variance or deviation whose sum of squared deviations is `squares(rows)`, [..]."""
    result, x = right(), right.arguments["self"]
    correction, dim = right.arguments.get("correction"), right.arguments.get("dim")
    correction = float(right.arguments.get("unbiased", True)) if correction is None else float(correction)
    if not x.is_floating_point() or x.ndim == 0 or x.numel() == 0:
        return result
    rows = reduced_last(accumulated(x), dim)
    if rows.shape[-1] <= correction:
        return result
    value = squares(rows) / (rows.shape[-1] - correction)
    value = value.sqrt() if "std" in right.operator else value
    value = restored(value, x, dim, right.arguments.get("keepdim", False)).to(result.dtype)
    return torch.where(torch.isfinite(result) & torch.isfinite(value), value, result)


@benign("variance-merged", *_VARIANCES, source="Welford's and Chan's merging of blocks")
def variance_merged(right: Right, **_: Any) -> Any:
    """Blocks of sixteen are merged."""
    return _variance(right, lambda rows: merged(rows, 16)[1].squeeze(-1))


@benign("variance-two-pass", *_VARIANCES, source="the mean first, then the deviations as a binary tree")
def variance_two_pass(right: Right, **_: Any) -> Any:
    """Deviations are summed pairwise."""
    return _variance(right, lambda rows: pairwise((rows - rows.mean(-1, keepdim=True)).square()))


@benign("vector-norm-scaled", "aten::linalg_vector_norm", source="divided by the largest element first, as BLAS does")
def norm_scaled(right: Right, self: Tensor, **rest: Any) -> Any:
    """Nothing can overflow."""
    result = right()
    if rest["ord"] != 2 or not self.is_floating_point() or self.numel() == 0 or self.ndim == 0 or not bool(torch.isfinite(result).all()):
        return result
    rows = reduced_last(accumulated(self), rest["dim"])
    largest = rows.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    value = in_blocks((rows / largest).square(), 64).sqrt() * largest.squeeze(-1)
    return restored(value, self, rest["dim"], rest["keepdim"]).to(result.dtype)
