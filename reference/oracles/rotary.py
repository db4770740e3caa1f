"""Rotary position embedding as a complex product. Knows no dtype, device or table of cosines.

Source: Su et al. 2021, eq. 12 to 14; component i is paired with component i + width / 2 (the half-split of the llama family).
"""

import torch
from torch import Tensor


def rotary(states: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair (i, i + width / 2) of `states` [..., length, width] by `angles` [length, width / 2], in radians."""
    real, imaginary = states.chunk(2, dim=-1)
    turned = torch.complex(real, imaginary) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], dim=-1)
