"""Gated linear units: one half of a tensor, activated, times the other half. Knows no quantization."""

from typing import Any

import torch
from torch import Tensor

from emulator.operator import Out, aclnn, plain

aten = torch.ops.aten

plain("Glu", "tio", aten.glu.default)
plain("GluBackward", "ttio", aten.glu_backward.default)

_APPROXIMATE = ("none", "tanh")


@aclnn
def GeluMul(self: Tensor, approximate: str, out: Out) -> Any:
    """self [..., 2d] gives [..., d]: gelu of the first half times the second, in float32. Source: torch_npu-npu_gelu_mul.md."""
    first, second = self.float().chunk(2, -1)
    return aten.gelu.default(first, approximate=approximate) * second


@aclnn
def GeGluV3(self: Tensor, dim: int, approximate: int, activate_left: bool, out: Out, gelu: Out) -> tuple[Tensor, Tensor]:
    """self, even along `dim`: gelu of one half (the second, unless `activate_left`) times the other, and that gelu; in float32.

    Source: op_plugin_functions.yaml, npu_geglu, and its test; Shazeer, GLU variants improve transformer (2020).
    """
    left, right = self.float().chunk(2, dim)
    active, linear = (left, right) if activate_left else (right, left)
    activated = aten.gelu.default(active, approximate=_APPROXIMATE[approximate])
    return activated * linear, activated


@aclnn
def GeGluV3Backward(grad: Tensor, self: Tensor, gelu: Tensor, dim: int, approximate: int, activate_left: bool, out: Out) -> Tensor:
    """The derivative of GeGluV3 with respect to `self`, in float32; `gelu` is what the forward returned."""
    left, right = self.float().chunk(2, dim)
    active, linear = (left, right) if activate_left else (right, left)
    wide = grad.float()
    by_active = aten.gelu_backward.default(wide * linear, active, approximate=_APPROXIMATE[approximate])
    by_linear = wide * gelu.float()
    return torch.cat((by_active, by_linear) if activate_left else (by_linear, by_active), dim)


@aclnn
def SwiGlu(self: Tensor, dim: int, out: Out) -> Any:
    """self, even along `dim`: silu of the first half times the second, in float32. Source: torch_npu-npu_swiglu.md."""
    first, second = self.float().chunk(2, dim)
    return aten.silu.default(first) * second


@aclnn
def SwiGluGrad(grad: Tensor, self: Tensor, dim: int, out: Out) -> Tensor:
    """The derivative of SwiGlu with respect to `self`, in float32. Source: torch_npu-npu_swiglu.md."""
    first, second = self.float().chunk(2, dim)
    wide = grad.float()
    return torch.cat((aten.silu_backward.default(wide * second, first), wide * aten.silu.default(first)), dim)


@aclnn
def ClippedSwiglu(
    self: Tensor, group_index: Tensor | None, dim: int, alpha: float, limit: float, bias: float, interleaved: bool, out: Out
) -> Tensor:
    """self, even along `dim`: a sigmoid(alpha a) (b + bias) of clipped halves, in float32. Source: torch_npu-npu_clipped_swiglu.md.

    Of the dimensions before `dim`, taken as one, only the first sum(group_index) are computed; the others are zero here.
    The halves alternate within [`dim` and all after it] as one dimension where `interleaved` is set.
    """
    dim %= self.dim()
    rows = self.float().reshape(self.shape[:dim].numel(), -1)
    first, second = (rows[:, ::2], rows[:, 1::2]) if interleaved else rows.chunk(2, 1)
    first, second = first.clamp(max=limit), second.clamp(-limit, limit)
    result = first * torch.sigmoid(alpha * first) * (second + bias)
    if group_index is not None:
        result[int(group_index.sum()) :] = 0
    return result.view(out.shape)
