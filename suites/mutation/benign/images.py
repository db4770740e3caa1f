"""Convolution, pooling, interpolation, spectra and solvers by other sound algorithms. Knows no case."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from suites.mutation.arithmetic import accumulated, cut, in_float64
from suites.mutation.registry import benign
from suites.mutation.wrapper import Right

_CONVOLUTION, _BACKWARD = "aten::convolution", "aten::convolution_backward"

_IN_FLOAT64 = {
    "convolution": (_CONVOLUTION,), "convolution-gradient": (_BACKWARD,),
    "average-pooling": ("aten::avg_pool2d", "aten::avg_pool3d", "aten::_adaptive_avg_pool2d", "aten::_adaptive_avg_pool3d"),
    "interpolation": ("aten::upsample_bilinear2d", "aten::upsample_linear1d", "aten::upsample_bicubic2d", "aten::upsample_trilinear3d"),
    "grid-sampling": ("aten::grid_sampler_2d", "aten::grid_sampler_3d"),
    "spectra": ("aten::_fft_c2c", "aten::_fft_r2c", "aten::_fft_c2r"),
    "solvers": ("aten::_linalg_solve_ex", "aten::linalg_inv_ex", "aten::linalg_solve_triangular",
                "aten::linalg_cholesky_ex", "aten::cholesky_solve"),
    "distances": ("aten::_cdist_forward", "aten::_pdist_forward"),
}  # fmt: skip
for _name, _operators in _IN_FLOAT64.items():
    benign(f"{_name}-in-float64", *_operators, source="more exact than asked for")(in_float64)


def _plain(right: Right) -> bool:
    """Whether this is a real convolution with a batch, not transposed."""
    x, transposed = right.arguments["input"], right.arguments["transposed"]
    return not transposed and x.is_floating_point() and x.numel() > 0 and x.ndim == len(right.arguments["stride"]) + 2


@benign("convolution-by-shifts", _CONVOLUTION, source="one product for each place of the kernel")
def by_shifts(right: Right, input: Tensor, weight: Tensor, bias: Tensor | None, groups: int, **rest: Any) -> Any:
    """Shifted inputs times slices of the kernel, added one after the other."""
    result = right()
    if not _plain(right) or groups != 1 or result.numel() == 0:
        return result
    x = F.pad(accumulated(input), [p for side in reversed(rest["padding"]) for p in (side, side)])
    w, total = accumulated(weight), torch.zeros((), dtype=accumulated(input).dtype, device=input.device)
    for place in torch.cartesian_prod(*[torch.arange(n) for n in weight.shape[2:]]).reshape(-1, input.ndim - 2).tolist():
        window = tuple(
            slice(at * d, at * d + (n - 1) * s + 1, s)
            for at, d, s, n in zip(place, rest["dilation"], rest["stride"], result.shape[2:], strict=True)
        )
        total = total + torch.einsum("nc...,oc->no...", x[(slice(None), slice(None), *window)], w[(slice(None), slice(None), *place)])
    total = total if bias is None else total + accumulated(bias).reshape(1, -1, *[1] * (input.ndim - 2))
    return total.to(result.dtype)


@benign("convolution-unfolded", _CONVOLUTION, source="im2col and one product")
def unfolded(right: Right, input: Tensor, weight: Tensor, bias: Tensor | None, groups: int, **rest: Any) -> Any:
    """Two dimensions only."""
    result = right()
    if not _plain(right) or groups != 1 or input.ndim != 4 or result.numel() == 0:
        return result
    columns = F.unfold(accumulated(input), weight.shape[2:], rest["dilation"], rest["padding"], rest["stride"])
    out = (accumulated(weight).reshape(weight.shape[0], -1) @ columns).reshape(result.shape)
    out = out if bias is None else out + accumulated(bias).reshape(1, -1, 1, 1)
    return out.to(result.dtype)


@benign("convolution-channels-split", _CONVOLUTION, source="split over input channels, half the sum each")
def channels_split(right: Right, input: Tensor, weight: Tensor, groups: int, **_: Any) -> Any:
    """Two halves of the channels, added in float32."""
    result = right()
    if not _plain(right) or groups != 1 or input.shape[1] < 2:
        return result
    at = input.shape[1] // 2
    x, w = accumulated(input), accumulated(weight)
    bias = right.arguments["bias"]
    first = right(input=x[:, :at].contiguous(), weight=w[:, :at].contiguous(), bias=None if bias is None else accumulated(bias))
    return (first + right(input=x[:, at:].contiguous(), weight=w[:, at:].contiguous(), bias=None)).to(result.dtype)


@benign("convolution-channels-last", _CONVOLUTION, source="the result lies with its channels last")
def channels_last(right: Right, input: Tensor, **_: Any) -> Any:
    """Computed and returned in another memory format."""
    if not _plain(right) or input.ndim != 4:
        return right()
    return right(input=input.contiguous(memory_format=torch.channels_last)).contiguous(memory_format=torch.channels_last)


@benign("convolution-sample-by-sample", _CONVOLUTION, source="a loop over the batch")
def by_samples(right: Right, input: Tensor, **_: Any) -> Any:
    """Every sample by itself, in reverse."""
    if not _plain(right) or input.shape[0] < 2:
        return right()
    return torch.cat([right(input=accumulated(one).to(one.dtype)) for one in cut(input.flip(0), 1, 0)]).flip(0)


@benign("convolution-gradient-by-samples", _BACKWARD, source="the gradient of the weight summed over samples, the last first")
def gradient_by_samples(right: Right, grad_output: Tensor, input: Tensor, **_: Any) -> Any:
    """In float32, rounded once."""
    whole = right()
    if whole[1] is None or not input.is_floating_point() or input.ndim != len(right.arguments["stride"]) + 2 or input.shape[0] < 2:
        return whole
    weight = accumulated(right.arguments["weight"])
    pairs = list(zip(cut(accumulated(grad_output), 1, 0), cut(accumulated(input), 1, 0), strict=True))[::-1]
    parts = [right(grad_output=g, input=x, weight=weight)[1] for g, x in pairs]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return whole[0], total.to(whole[1].dtype), whole[2]


@benign("average-pooling-by-windows", "aten::avg_pool2d", source="windows gathered first, then averaged")
def pooling_by_windows(right: Right, self: Tensor, kernel_size: list[int], stride: list[int], padding: list[int], **rest: Any) -> Any:
    """Without padding or ceiling only."""
    result = right()
    if (
        any(padding)
        or rest.get("ceil_mode")
        or rest.get("divisor_override")
        or self.ndim != 4
        or not self.is_floating_point()
        or self.numel() == 0
    ):
        return result
    sizes = list(kernel_size) * (2 // len(kernel_size))
    steps = list(stride) * (2 // len(stride)) if stride else sizes
    windows = accumulated(self).unfold(2, sizes[0], steps[0]).unfold(3, sizes[1], steps[1])
    return (windows.flip(-1).sum(-1).sum(-1) * (1 / (sizes[0] * sizes[1]))).to(result.dtype)
