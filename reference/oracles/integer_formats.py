"""Integers of a few bits with a real scale for each group of a row: to them and back. Knows no device, model or operator.

As W8A8 and W4A16 have them: symmetric, one scale for each row of a weight (a channel) or for each token of an activation, or for each group
of 128 in a row. Sources: npu_dynamic_quant and npu_weight_quant_batchmatmul of torch_npu; arXiv 2210.17323 (GPTQ, groups of 128).
The scale is a real number, so its division and product are rounded: sides may differ there by a roundoff, and by a code beside a midpoint.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Integers:
    """Whole numbers from -limit to limit times a scale, the largest magnitude / limit of each `group` of a row (None: the whole row)."""

    limit: int
    group: int | None = None

    def round_trip(self, x: Tensor) -> Tensor:
        """Return what is left of finite x [..., columns] of any floating dtype, in that dtype; computed in float32 at least."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        width = self.group or x.shape[-1]
        rows = torch.unflatten(functional.pad(wide, (0, -x.shape[-1] % width)), -1, (-1, width))
        scale = rows.abs().amax(-1, keepdim=True) / self.limit
        scale = torch.where(scale == 0, 1.0, scale)
        whole = (torch.round(rows / scale) * scale).flatten(-2)  # torch.round takes ties to even
        return whole[..., : x.shape[-1]].to(x.dtype)


INT8 = Integers(127)
INT4_GROUPS = Integers(7, 128)
