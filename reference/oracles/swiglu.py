"""The gated activation of SwiGLU. Knows no dtype, device or fused kernel. Source: Shazeer 2020, eq. 5 and 6 (Swish with beta 1)."""

import torch
from torch import Tensor


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """Return `gate / (1 + exp(-gate)) * up`, elementwise; finite for |gate| < 700."""
    return gate / (1 + torch.exp(-gate)) * up
