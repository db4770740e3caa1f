"""Random numbers of the device's generator (philox.py), keyed by the seed and offset that torch_npu passes. Knows no dropout."""

import math

import numpy as np
import torch
from torch import Tensor

from emulator.behaviour import listed
from emulator.operator import Float32, Out, Scalar, aclnn
from emulator.philox import long_words, uniform, words

_DIGITS = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 24}
#: The largest integer up to which a type knows every one, and which `random_()` draws (aclnnInplaceRandomWithoutFromTo).
_EXACT = {torch.float16: 1 << 11, torch.bfloat16: 1 << 8, torch.float32: 1 << 24, torch.float64: 1 << 53, torch.bool: 1}


def _uniform(shape: torch.Size, seed: int, offset: int) -> Tensor:
    """Return float64 numbers of [0, 1)."""
    return torch.from_numpy(uniform(shape.numel(), seed, offset)).view(shape)


def _normal(shape: torch.Size, seed: int, offset: int) -> Tensor:
    """Return float64 standard normal numbers: Box and Muller's two of every two words."""
    count = shape.numel()
    pairs = torch.from_numpy(uniform(count + count % 2, seed, offset)).view(-1, 2)
    radius = torch.sqrt(-2 * torch.log(pairs[:, 0] + 2.0**-32))
    angle = pairs[:, 1] * (2 * math.pi)
    return torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), 1).view(-1)[:count].view(shape)


def _between(low: float, high: float, seed: int, offset: int, out: Tensor) -> Tensor:
    """Return numbers of [low, high) in the output's precision: of as many random bits as it has, so that none is rounded up to 1."""
    steps = float(1 << _DIGITS.get(out.dtype, 32))
    drawn = torch.floor(_uniform(out.shape, seed, offset) * steps) / steps
    values = (low + (high - low) * drawn).to(out.dtype)
    return torch.where(values >= high, torch.full_like(values, low), values) if low < high else values


def _integers(shape: torch.Size, low: int, span: int, seed: int, offset: int) -> Tensor:
    """Return integers of [low, low + span): words modulo the span, as torch does it; of 64 bits where 32 could not reach the span."""
    drawn = words(shape.numel(), seed, offset) if span <= 1 << 32 else long_words(shape.numel(), seed, offset)
    return torch.from_numpy((drawn % np.uint64(span)).view(np.int64)).add_(low).view(shape)


@aclnn
def InplaceUniform(self: Out, low: float, high: float, seed: int, offset: int) -> Tensor:
    if low > high:  # aclnn_uniform.cpp
        raise ValueError(f"from {low} is greater than to {high}")
    return _between(low, high, seed, offset, self)


@aclnn
def InplaceNormal(self: Out, mean: Float32, std: Float32, seed: int, offset: int) -> Tensor:
    return mean + std * _normal(self.shape, seed, offset)


@aclnn
def NormalFloatFloat(mean: Float32, std: Float32, seed: int, offset: int, out: Out) -> Tensor:
    return mean + std * _normal(out.shape, seed, offset)


@aclnn
def NormalTensorFloat(mean: Tensor, std: Float32, seed: int, offset: int, out: Out) -> Tensor:
    return mean + std * _normal(out.shape, seed, offset)


@aclnn
def NormalFloatTensor(mean: Float32, std: Tensor, seed: int, offset: int, out: Out) -> Tensor:
    return mean + std * _normal(out.shape, seed, offset)


@aclnn
def NormalTensorTensor(mean: Tensor, std: Tensor, seed: int, offset: int, out: Out) -> Tensor:
    return mean + std * _normal(out.shape, seed, offset)


@aclnn
def InplaceRandom(self: Out, low: int, high: int, seed: int, offset: int) -> Tensor:
    """Integers of [low, high). torch_npu's `random_()` passes a type's largest as `high`, so that it never comes (of bool, only False)."""
    drawn = _integers(self.shape, low, high - low, seed, offset).to(self.dtype)
    if not self.is_floating_point():
        return drawn
    return torch.where(drawn.double() >= high, torch.full_like(drawn, low), drawn)  # 16 bits may round up to what must never come


@aclnn
def InplaceRandomWithoutFromTo(self: Out, seed: int, offset: int) -> Tensor:
    """Integers from 0 to the largest that the type counts to, this one included."""
    most = _EXACT[self.dtype] if self.dtype in _EXACT else torch.iinfo(self.dtype).max
    return _integers(self.shape, 0, most + 1, seed, offset).to(self.dtype)


@aclnn
def InplaceBernoulli(self: Out, probability: Scalar, seed: int, offset: int) -> Tensor:
    return _uniform(self.shape, seed, offset) < probability


@aclnn
def InplaceBernoulliTensor(self: Out, probability: Tensor, seed: int, offset: int) -> Tensor:
    return _uniform(self.shape, seed, offset) < probability


@aclnn
def SimThreadExponential(self: Out, count: int, rate: float, seed: int, offset: int) -> Tensor:
    """-log(1 - u) / rate (page npu_sim_exponential_)."""
    return -torch.log1p(-_uniform(self.shape, seed, offset)) / rate


@aclnn
def Multinomial(self: Tensor, count: int, replacement: bool, seed: int, offset: int, out: Out) -> Tensor:
    """With replacement the inverse of the cumulated weights; without, the first `count` of exponential races (Efraimidis and Spirakis)."""
    listed(self, torch.float32, torch.float16, torch.float64, torch.bfloat16)  # cann/ops-math, aclnn_multinomial.cpp
    weights = self.double()
    if not bool((torch.isfinite(weights) & (weights >= 0)).all()) or not bool((weights.sum(-1) > 0).all()):
        raise ValueError("multinomial needs finite weights, none below 0, and a sum above 0")
    if replacement:
        cumulated = weights.cumsum(-1)
        drawn = _uniform(out.shape, seed, offset) * cumulated[..., -1:]
        return torch.searchsorted(cumulated, drawn, right=True)
    arrivals = -torch.log1p(-_uniform(self.shape, seed, offset)) / weights
    return torch.argsort(arrivals, dim=-1, stable=True)[..., :count]


@aclnn
def Randperm(count: int, seed: int, offset: int, out: Out) -> Tensor:
    return torch.from_numpy(np.argsort(long_words(count, seed, offset), kind="stable"))


# The same with the seed and a part of the offset in device memory: what a captured graph replays.


@aclnn
def InplaceUniformTensor(self: Out, low: float, high: float, seed: Tensor, offset: Tensor, more: int) -> Tensor:
    return InplaceUniform(self, low, high, int(seed), int(offset) + more)


@aclnn
def InplaceNormalTensor(self: Out, mean: Float32, std: Float32, seed: Tensor, offset: Tensor, more: int) -> Tensor:
    return InplaceNormal(self, mean, std, int(seed), int(offset) + more)


@aclnn
def InplaceRandomTensor(self: Out, low: int, high: int, seed: Tensor, offset: Tensor, more: int) -> Tensor:
    return InplaceRandom(self, low, high, int(seed), int(offset) + more)


@aclnn
def InplaceRandomWithoutFromToTensor(self: Out, seed: Tensor, offset: Tensor, more: int) -> Tensor:
    return InplaceRandomWithoutFromTo(self, int(seed), int(offset) + more)


@aclnn
def StatelessExponentialTensor(self: Out, seed: Tensor, offset: Tensor, more: int, rate: float) -> Tensor:
    return SimThreadExponential(self, self.numel(), rate, int(seed), int(offset) + more)


@aclnn
def MultinomialTensor(self: Tensor, count: int, replacement: bool, seed: Tensor, offset: Tensor, more: int, out: Out) -> Tensor:
    return Multinomial(self, count, replacement, int(seed), int(offset) + more, out)
