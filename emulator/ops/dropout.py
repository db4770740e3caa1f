"""Dropout: masks of one bit an element, drawn by the device's generator, and their application. Knows no other distribution."""

import math

import numpy as np
import torch
from torch import Tensor

from emulator.behaviour import listed
from emulator.operator import Int32, Ints, Out, aclnn
from emulator.philox import uniform


def _mask(count: int, probability: float, seed: int, offset: int, out: Tensor) -> Tensor:
    """Return a mask of bits, the lowest first, 1 where an element is kept; padded by zeros to the output's bytes.

    The draw is Bernoulli's of 1 - probability: in-place dropout is made of that, and keeps the same elements (Ascend's own test).
    """
    kept = np.zeros(out.numel() * 8, np.uint8)
    kept[:count] = uniform(count, seed, offset) < 1 - probability
    return torch.from_numpy(np.packbits(kept, bitorder="little")).view(out.shape)


def kept_by(mask: Tensor, shape: torch.Size) -> Tensor:
    """Return what a mask of bits keeps of a tensor of this shape."""
    bits = np.unpackbits(mask.contiguous().numpy(), bitorder="little", count=shape.numel())
    return torch.from_numpy(bits).view(shape).bool()


def _applied(self: Tensor, mask: Tensor, scale: float) -> Tensor:
    return torch.where(kept_by(mask, self.shape), self * scale, torch.zeros((), dtype=self.dtype))


@aclnn
def DropoutGenMask(shape: Ints, probability: float, seed: int, offset: int, out: Out) -> Tensor:
    return _mask(math.prod(shape), probability, seed, offset, out)


@aclnn
def DropoutGenMaskV2(shape: Ints, probability: float, seed: int, offset: int, dtype: Int32, out: Out) -> Tensor:
    """The type is that of what will be masked; the mask does not depend on it here."""
    return _mask(math.prod(shape), probability, seed, offset, out)


@aclnn
def DropoutGenMaskV2Tensor(shape: Ints, probability: float, seed: Tensor, offset: Tensor, more: int, dtype: Int32, out: Out) -> Tensor:
    """The same with the seed and a part of the offset in device memory: what a captured graph replays."""
    return _mask(math.prod(shape), probability, int(seed), int(offset) + more, out)


@aclnn
def DropoutDoMask(self: Tensor, mask: Tensor, probability: float, out: Out) -> Tensor:
    """Elements that the mask keeps, scaled by 1 / (1 - probability); zero elsewhere, whatever was there (aclnnDropoutDoMask)."""
    listed(self, torch.float32, torch.float16, torch.bfloat16)  # cann/ops-math, aclnn_dropout_do_mask.cpp
    listed(mask, torch.uint8, name="mask")
    return _applied(self, mask, 0.0 if probability == 1 else 1 / (1 - probability))


@aclnn
def DropoutV3(
    self: Tensor, noise_shape: Tensor | None, probability: float, seed: int, offset: int, out: Out, mask: Out
) -> tuple[Tensor, Tensor]:
    """Mask and application in one (aclnnDropoutV3); the noise shape is reserved: None."""
    drawn = _mask(self.numel(), probability, seed, offset, mask)
    return DropoutDoMask(self, drawn, probability, out), drawn


@aclnn
def DropoutV3Tensor(
    self: Tensor, noise_shape: Tensor | None, probability: float, seed: Tensor, offset: Tensor, more: int, out: Out, mask: Out
) -> tuple[Tensor, Tensor]:
    """DropoutV3 with the seed and a part of the offset in device memory."""
    return DropoutV3(self, noise_shape, probability, int(seed), int(offset) + more, out, mask)


@aclnn
def DropoutV3Grad(grad: Tensor, mask: Tensor, scale: float, out: Out) -> Tensor:
    """grad * mask * scale, a product (aclnnDropoutV3Grad): what is dropped of a gradient that is not finite is NaN."""
    return grad * kept_by(mask, grad.shape) * scale
