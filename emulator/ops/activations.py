"""Activations of one tensor and their backwards. Knows no gated pair and no softmax."""

from typing import Any

import torch
from torch import Tensor

from emulator.behaviour import taking
from emulator.operator import Function, Out, Scalar, aclnn, plain
from emulator.philox import uniform

aten = torch.ops.aten


def _hardsigmoid(self: Tensor) -> Any:
    """Also of integers, which PyTorch's CPU refuses: cut off to 0 or 1."""
    if self.is_floating_point():
        return aten.hardsigmoid.default(self)
    return aten.hardsigmoid.default(self.float()).to(self.dtype)


#: Forward: the C parameters between the tensor and the output, and what computes it; under its name, and in place where that exists.
_FORWARD: dict[str, tuple[str, Function]] = {
    "Relu": ("", aten.relu.default),
    "Celu": ("s", aten.celu.default),
    "Elu": ("sss", aten.elu.default),
    "Hardsigmoid": ("", _hardsigmoid),
    "Hardswish": ("", aten.hardswish.default),
    "Hardtanh": ("ss", aten.hardtanh.default),
    "LeakyRelu": ("s", aten.leaky_relu.default),
    "Mish": ("", aten.mish.default),
    "Threshold": ("ss", aten.threshold.default),
}
for _name, (_letters, _function) in _FORWARD.items():
    plain(_name, f"t{_letters}o", _function)
    plain(f"Inplace{_name}", f"o{_letters}", _function)

plain("Hardshrink", "tso", aten.hardshrink.default)
plain("Silu", "to", aten.silu.default)
plain("Softplus", "tsso", aten.softplus.default)
plain("Softshrink", "tso", aten.softshrink.default)
plain("Prelu", "tto", aten._prelu_kernel.default)

plain("EluBackward", "tsssbto", aten.elu_backward.default)
plain("HardshrinkBackward", "ttso", aten.hardshrink_backward.default)
plain("HardsigmoidBackward", "tto", aten.hardsigmoid_backward.default)
plain("HardswishBackward", "tto", aten.hardswish_backward.default)
plain("HardswishBackwardV2", "tto", aten.hardswish_backward.default)
plain("HardtanhBackward", "ttsso", aten.hardtanh_backward.default)
plain("LeakyReluBackward", "ttsbo", aten.leaky_relu_backward.default)
plain("MishBackward", "tto", aten.mish_backward.default)
plain("SigmoidBackward", "tto", aten.sigmoid_backward.default)
plain("SiluBackward", "tto", aten.silu_backward.default)
plain("SoftplusBackward", "ttsso", aten.softplus_backward.default)
plain("SoftshrinkBackward", "ttso", aten.softshrink_backward.default)
plain("TanhBackward", "tto", aten.tanh_backward.default)
plain("ThresholdBackward", "ttso", aten.threshold_backward.default)


@aclnn
def Gelu(self: Tensor, out: Out) -> Any:
    """Any shape; always the tanh approximation, whatever torch's `approximate` says. Source: torch_npu-npu_gelu.md."""
    return aten.gelu.default(self, approximate="tanh")


@aclnn
def GeluBackward(grad: Tensor, self: Tensor, out: Out) -> Any:
    """The derivative of Gelu, so of the tanh approximation. Source: torch_npu-npu_gelu.md."""
    return aten.gelu_backward.default(grad, self, approximate="tanh")


@aclnn
def GeluV2(self: Tensor, approximate: int, out: Out) -> Any:
    return aten.gelu.default(self, approximate="tanh" if approximate else "none")


@aclnn
def GeluBackwardV2(grad: Tensor, self: Tensor, approximate: str, out: Out) -> Any:
    return aten.gelu_backward.default(grad, self, approximate=approximate)


@aclnn
def FastGelu(self: Tensor, out: Out) -> Tensor:
    """Any shape, in float32: x / (1 + exp(-1.702 x)). Source: torch_npu-npu_fast_gelu.md, Atlas A2."""
    wide = self.float()
    return wide * torch.sigmoid(1.702 * wide)


@aclnn
def FastGeluBackward(grad: Tensor, self: Tensor, out: Out) -> Tensor:
    """The derivative of FastGelu, in float32. Source: torch_npu-npu_fast_gelu.md, Atlas A2."""
    wide = self.float()
    gate = torch.sigmoid(1.702 * wide)
    return grad.float() * gate * (1 + 1.702 * wide * (1 - gate))


@aclnn
def LogSigmoidForward(self: Tensor, out: Out, buffer: Out) -> tuple[Tensor, Tensor]:
    # the buffer is the CPU's own, kept for its backward; torch_npu passes an empty one
    return aten.log_sigmoid_forward.default(self)[0], buffer


@aclnn
def LogSigmoidBackward(grad: Tensor, self: Tensor, buffer: Tensor, out: Out) -> Any:
    return aten.log_sigmoid_backward.default(grad, self, aten.log_sigmoid_forward.default(self)[1])


_logit = taking(aten.logit.default, torch.float32, torch.float16, torch.bfloat16)  # cann/ops-nn, aclnnLogit


@aclnn
def Logit(self: Tensor, eps: float, out: Out) -> Any:
    return _logit(self, None if eps < 0 else eps)


@aclnn
def LogitGrad(self: Tensor, grad: Tensor, eps: float, out: Out) -> Any:
    return aten.logit_backward.default(grad, self, None if eps < 0 else eps)


@aclnn
def PreluBackward(grad: Tensor, self: Tensor, weight: Tensor, out: Out, grad_weight: Out) -> tuple[Tensor, Tensor]:
    by_channel = weight.view([-1 if place == 1 else 1 for place in range(max(self.dim(), 1))]) if weight.numel() > 1 else weight.view(())
    by_self, by_weight = aten._prelu_kernel_backward.default(grad, self, by_channel)
    return by_self, by_weight.sum_to_size(by_channel.shape).view(weight.shape)


@aclnn
def AddRelu(self: Tensor, other: Tensor, alpha: Scalar, out: Out) -> Tensor:
    return torch.relu(torch.add(self, other, alpha=alpha))


@aclnn
def InplaceAddRelu(self: Out, other: Tensor, alpha: Scalar) -> Tensor:
    return torch.relu(torch.add(self, other, alpha=alpha))


def _rrelu(self: Tensor, noise: Tensor, lower: float, upper: float, training: bool, seed: int, offset: int) -> tuple[Tensor, Tensor]:
    """Return the noise and the result: in training a negative element is scaled by its own draw of [lower, upper)."""
    if not training:
        return noise, aten.leaky_relu.default(self, (lower + upper) / 2)
    drawn = torch.from_numpy(uniform(self.numel(), seed, offset)).view(self.shape) * (upper - lower) + lower
    slopes = torch.where(self > 0, 1.0, drawn).to(self.dtype)
    return slopes, self * slopes


@aclnn
def RReluWithNoise(
    self: Tensor, noise: Out, lower: Scalar, upper: Scalar, training: bool, seed: int, offset: int, out: Out
) -> tuple[Tensor, Tensor]:
    return _rrelu(self, noise, lower, upper, training, seed, offset)


@aclnn
def InplaceRReluWithNoise(
    self: Out, noise: Out, lower: Scalar, upper: Scalar, training: bool, seed: int, offset: int
) -> tuple[Tensor, Tensor]:
    drawn, result = _rrelu(self, noise, lower, upper, training, seed, offset)
    return result, drawn
