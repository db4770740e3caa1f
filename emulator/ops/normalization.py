"""Layer and group normalization, activated too, and their backwards. Knows no batch statistics and no sum before them."""

from typing import Any

import torch
from torch import Tensor

from emulator.operator import Bools, Ints, Out, aclnn, plain

aten = torch.ops.aten

Three = tuple[Tensor | None, Tensor | None, Tensor | None]


def _layer_norm(self: Tensor, shape: Ints, weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
    """Of no rows at all, torch_npu reserves statistics of shape [0]."""
    out, *statistics = aten.native_layer_norm.default(self, shape, weight, bias, eps)
    rows = self.shape[: self.ndim - len(shape)]
    return out, *(s.flatten() if 0 in rows else s for s in statistics)


plain("LayerNorm", "tIttdooo", _layer_norm)
plain("FastLayerNorm", "tIttdooo", _layer_norm)
plain("GroupNorm", "tttiiiidooo", aten.native_group_norm.default)


def _kept(statistic: Tensor, self: Tensor, weight: Tensor | None) -> Tensor:
    """Return a saved statistic in the dtype that the CPU's backward expects: float32 where weight and tensor differ, else the tensor's."""
    return statistic.to(torch.float32 if weight is not None and weight.dtype != self.dtype else self.dtype)


@aclnn
def LayerNormBackward(
    grad: Tensor,
    self: Tensor,
    shape: Ints,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Bools,
    grad_self: Out | None,
    grad_weight: Out | None,
    grad_bias: Out | None,
) -> Any:
    if weight is not None and not (mask[1] or mask[2]) and bool((weight == 1).all()):
        weight = bias = None  # torch_npu fills in ones for a weight that is not there; the CPU then takes a way that rounds otherwise
    kept = _kept(mean, self, weight), _kept(rstd, self, weight)
    return aten.native_layer_norm_backward.default(grad, self, shape, *kept, weight, bias, list(mask))


@aclnn
def GroupNormBackward(
    grad: Tensor,
    self: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    samples: int,
    channels: int,
    size: int,
    groups: int,
    mask: Bools,
    grad_self: Out | None,
    grad_weight: Out | None,
    grad_bias: Out | None,
) -> Any:
    kept = _kept(mean, self, weight), _kept(rstd, self, weight)
    return aten.native_group_norm_backward.default(grad, self, *kept, weight, samples, channels, size, groups, list(mask))


def _float(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float().contiguous()  # ATen's group normalization takes no other


def _sizes(self: Tensor) -> tuple[int, int, int]:
    """Return what ATen's group normalization wants to know: samples, channels, elements of a channel."""
    return self.shape[0], self.shape[1], self.shape[2:].numel()


@aclnn
def GroupNormSilu(
    self: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float, out: Out, mean: Out, rstd: Out
) -> tuple[Tensor, Tensor, Tensor]:
    """self [N, C, *], weight and bias [C], statistics [N, groups]; in float32. Source: torch_npu-npu_group_norm_silu.md."""
    normal, *statistics = aten.native_group_norm.default(_float(self), _float(weight), _float(bias), *_sizes(self), groups, eps)
    return aten.silu.default(normal), statistics[0], statistics[1]


@aclnn
def GroupNormSwish(
    self: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    data_format: str,
    eps: float,
    activate: bool,
    scale: float,
    out: Out,
    mean: Out,
    rstd: Out,
) -> tuple[Tensor, Tensor, Tensor]:
    """self [N, C, *], weight and bias [C], statistics [N, groups]; y sigmoid(scale y) of the normalized y, in float32.

    Source: torch_npu-npu_group_norm_swish.md.
    """
    normal, *statistics = aten.native_group_norm.default(_float(self), _float(weight), _float(bias), *_sizes(self), groups, eps)
    return normal * torch.sigmoid(scale * normal) if activate else normal, statistics[0], statistics[1]


@aclnn
def GroupNormSwishGrad(
    grad: Tensor,
    mean: Tensor,
    rstd: Tensor,
    self: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    data_format: str,
    scale: float,
    want_weight: bool,
    want_bias: bool,
    grad_self: Out,
    grad_weight: Out | None,
    grad_bias: Out | None,
) -> Any:
    """The derivatives of GroupNormSwish, in float32. Source: torch_npu-npu_group_norm_swish.md."""
    per_group = (self.shape[0], groups, -1)
    wide, centre, spread = self.float(), mean.float(), rstd.float()
    normal = ((wide.reshape(per_group) - centre[..., None]) * spread[..., None]).view(self.shape)
    by_channel = [-1 if place == 1 else 1 for place in range(self.dim())]
    normal = normal * weight.float().view(by_channel) + bias.float().view(by_channel)
    gate = torch.sigmoid(scale * normal)
    inner = grad.float() * gate * (1 + scale * normal * (1 - gate))
    # what is not wanted may still have been allocated: it is computed all the same
    return aten.native_group_norm_backward.default(
        inner.contiguous(), wide.contiguous(), centre, spread, _float(weight), *_sizes(self), groups, [True, True, True]
    )
