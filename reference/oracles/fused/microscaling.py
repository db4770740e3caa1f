"""Numbers of few bits with a scale for each block. Knows no device.

Sources: OCP Microscaling Formats 1.0 (blocks of 32, a power of two for each); pages of npu_dynamic_mx_quant, npu_anti_mx_quant,
npu_dynamic_mx_quant_with_dual_axis and npu_dynamic_block_quant.
"""

import torch
from torch import Tensor

from reference.oracles.block_formats import E4M3, E5M2, MX_BLOCK, Rule, quantise, scale_bits
from reference.oracles.fused.quantisation import HIGH
from reference.oracles.fused.widening import wide

BLOCK = MX_BLOCK[1]
_ELEMENTS = {torch.float8_e4m3fn: E4M3, torch.float8_e5m2: E5M2}


def dynamic_mx_quant(x: Tensor, axis: int, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return x in float8 `kind`, and for each block of 32 along `axis` the biased exponent of its scale, uint8, in pairs.

    A block's scale is `2 ^ (exponent of its largest - exponent of the type's largest)`; what is beyond the type's largest becomes that.
    The pairs are a last dimension of two; an odd number of blocks is filled up with 0.
    """
    numbers, scale = quantise(wide(x).movedim(axis, -1), _ELEMENTS[kind], MX_BLOCK, Rule.FLOOR)
    y, biased = numbers.movedim(-1, axis).float().to(kind), scale_bits(scale)
    pairs = torch.unflatten(torch.nn.functional.pad(biased, (0, biased.shape[-1] % 2)), -1, (-1, 2))
    return y, pairs.movedim(-2, axis if axis >= 0 else axis - 1)


def anti_mx_quant(y: Tensor, scale: Tensor) -> Tensor:
    """Undo `dynamic_mx_quant` along the last dimension: numbers times the scales of their blocks."""
    power = (scale.flatten(-2).long() - 127).repeat_interleave(BLOCK, -1)[..., : y.shape[-1]]
    return y.float() * torch.pow(2.0, power.float())


def dynamic_block_quant(x: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return `x / scale` before rounding to int8 and `scale = max |x| / 127` of each block of rows and columns (float32)."""
    height, width = x.shape
    filled = torch.nn.functional.pad(wide(x), (0, -width % columns, 0, -height % rows))
    blocks = torch.unflatten(torch.unflatten(filled, 1, (-1, columns)), 0, (-1, rows))
    scale = blocks.abs().amax((1, 3)) / HIGH
    whole = scale.repeat_interleave(rows, 0)[:height].repeat_interleave(columns, 1)[:, :width]
    return wide(x) / whole, scale
