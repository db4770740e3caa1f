"""Faults of convolution, pooling and interpolation. Knows no case."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.arithmetic import altered, keep_bits
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right


@fault(
    "convolution-hf32",
    "aten::convolution",
    "aten::convolution_backward",
    causes=(Cause.PRECISION,),
    source="torch_npu: HF32 is on for convolutions by default",
)
def convolution_hf32(right: Right, **arguments: Any) -> Any:
    """Float32 operands lose all but 11 bits of their significands."""
    coarse = {
        n: keep_bits(v, 11)
        for n, v in arguments.items()
        if n in ("input", "weight", "grad_output") and isinstance(v, Tensor) and v.dtype == torch.float32
    }
    return right(**coarse)


@fault("convolution-edge", "aten::convolution", causes=(Cause.VALUES, Cause.TAIL), source="padding read from the neighbour row")
def convolution_edge(right: Right, input: Tensor, padding: list[int], transposed: bool, **_: Any) -> Any:
    """Padding repeats the edge instead of being zero."""
    if transposed or not any(padding) or input.is_complex() or input.numel() == 0 or input.ndim != len(padding) + 2:
        return right()
    widths = [p for side in reversed(padding) for p in (side, side)]
    return right(input=F.pad(input, widths, mode="replicate"), padding=[0] * len(padding))


@fault(
    "convolution-channel-lost", "aten::convolution", causes=(Cause.VALUES,), source="NC1HWC0: the last channel of a block of sixteen lost"
)
def convolution_channel(right: Right, input: Tensor, groups: int, transposed: bool, **_: Any) -> Any:
    """The last channel of the input is not looked at."""
    if input.ndim < 3 or input.shape[1] // groups < 2 or transposed:
        return right()
    short = input.clone()
    short[:, -1] = 0
    return right(input=short)


@fault(
    "convolution-dilation-ignored", "aten::convolution", causes=(Cause.VALUES, Cause.FORM), source="VA-9036: an argument dropped on the way"
)
def convolution_dilation(right: Right, dilation: list[int], padding: list[int], transposed: bool, **_: Any) -> Any:
    """The kernel is not spread, and what is too much of the result cut off."""
    result = right()
    if transposed or all(d == 1 for d in dilation):
        return result
    near = right(dilation=[1] * len(dilation))
    return near[tuple(slice(n) for n in result.shape)].contiguous()


@fault(
    "convolution-weight-gradient",
    "aten::convolution_backward",
    causes=(Cause.VALUES,),
    source="Ascend/pytorch 107: loss right, gradient not",
)
def convolution_gradient(right: Right, grad_output: Tensor, input: Tensor, **_: Any) -> Any:
    """The first sample does not count for the gradient of the weight."""
    whole = right()
    if input.shape[0] < 2 or whole[1] is None:
        return whole
    less = input.clone()
    less[0] = 0
    return whole[0], right(input=less)[1], whole[2]


@fault(
    "average-counts-padding",
    "aten::avg_pool2d",
    "aten::avg_pool3d",
    "aten::avg_pool1d",
    causes=(Cause.VALUES, Cause.TAIL),
    source="count_include_pad ignored",
)
def average_padding(right: Right, count_include_pad: bool = True, **_: Any) -> Any:
    """Padding is counted where it should not be, and the other way round."""
    return right(count_include_pad=not count_include_pad)


@fault(
    "maximum-place-in-window",
    "aten::max_pool2d_with_indices",
    "aten::max_pool3d_with_indices",
    causes=(Cause.CHOICE, Cause.INTEGERS),
    source="torch_npu API notes: indices of max-pool",
)
def maximum_place(right: Right, self: Tensor, **_: Any) -> Any:
    """The index counts from the plane's second element."""
    values, indices = right()
    return values, (indices + 1) % (self.shape[-1] * self.shape[-2])


@fault(
    "adaptive-average-window",
    "aten::_adaptive_avg_pool2d",
    "aten::_adaptive_avg_pool3d",
    causes=(Cause.VALUES,),
    source="windows of equal size where they must overlap",
)
def adaptive_average(right: Right, self: Tensor, output_size: list[int], **_: Any) -> Any:
    """The last row of the input belongs to no window."""
    if self.shape[-1] <= output_size[-1]:
        return right()
    return right(self=self.narrow(-1, 0, self.shape[-1] - 1).contiguous())


@fault(
    "interpolation-corners",
    "aten::upsample_bilinear2d",
    "aten::upsample_linear1d",
    "aten::upsample_bicubic2d",
    "aten::upsample_trilinear3d",
    causes=(Cause.VALUES,),
    source="align_corners ignored",
)
def interpolation_corners(right: Right, align_corners: bool, **_: Any) -> Any:
    """Corners are aligned where they should not be, and the other way round."""
    return right(align_corners=not align_corners)


@fault(
    "nearest-off-by-half",
    "aten::upsample_nearest2d",
    "aten::upsample_nearest1d",
    "aten::_upsample_nearest_exact2d",
    causes=(Cause.VALUES,),
    source="pixel centres and corners mixed up",
)
def nearest_shifted(right: Right, self: Tensor, **_: Any) -> Any:
    """The source is shifted by one pixel."""
    return right(self=self.roll(1, -1))


@fault("grid-sample-corners", "aten::grid_sampler_2d", "aten::grid_sampler_3d", causes=(Cause.VALUES,), source="align_corners ignored")
def grid_corners(right: Right, align_corners: bool, **_: Any) -> Any:
    """Corners are aligned where they should not be, and the other way round."""
    return right(align_corners=not align_corners)


@fault(
    "pool-last-column-zero",
    "aten::avg_pool2d",
    "aten::max_pool2d_with_indices",
    "aten::_adaptive_avg_pool2d",
    causes=(Cause.TAIL, Cause.VALUES),
    source="VA-7460: padding counted wrong",
)
def pool_last_column(right: Right, **_: Any) -> Any:
    """The last column is never written."""

    def change(out: Tensor) -> Tensor:
        if out.shape[-1] > 1:
            out.select(-1, -1).zero_()
        return out

    return altered(right(), change)
