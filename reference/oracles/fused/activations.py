"""Activations, plain and gated. Knows no device.

Sources: Hendrycks and Gimpel 2016 (GELU: by erf, by tanh, and x sigmoid(1.702 x)); Shazeer 2020 (gated units);
gpt-oss' model card (SwiGLU with limits). torch_npu's pages say which half is activated.
"""

import math

import torch
from torch import Tensor

from reference.oracles.fused.widening import wide


def fast_gelu(x: Tensor) -> Tensor:
    """Return `x sigmoid(1.702 x)`, as the page writes it: `x exp(0.851 (x - |x|)) / (1 + exp(-1.702 |x|))`, which never overflows."""
    return x * torch.exp(0.851 * (x - x.abs())) / (1 + torch.exp(-1.702 * x.abs()))


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """Return `x Phi(x)` ("none"), or `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))` ("tanh")."""
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def silu(x: Tensor) -> Tensor:
    """Return `x / (1 + exp(-x))`."""
    return x / (1 + torch.exp(-x))


def swiglu(x: Tensor, dim: int = -1) -> Tensor:
    """Return `SiLU(a) b` of the two halves a, b along `dim`."""
    first, second = x.chunk(2, dim)
    return silu(first) * second


def geglu(x: Tensor, dim: int = -1, approximate: int = 1, activate_left: bool = False) -> tuple[Tensor, Tensor]:
    """Return `a GELU(b)` of the two halves along `dim` and `GELU(b)`; `activate_left` swaps them; `approximate` 1 is by tanh, 0 by erf."""
    first, second = x.chunk(2, dim)
    linear, gate = (second, first) if activate_left else (first, second)
    activated = gelu(gate, approximate="tanh" if approximate else "none")
    return linear * activated, activated


def gelu_mul(x: Tensor, *, approximate: str = "none") -> Tensor:
    """Return `GELU(a) b` of the two halves of the last dimension."""
    first, second = x.chunk(2, -1)
    return gelu(first, approximate=approximate) * second


def clipped_swiglu(x: Tensor, *, dim: int, alpha: float, limit: float, bias: float, interleaved: bool) -> Tensor:
    """Return `a sigmoid(alpha a) (b + bias)`, a at most `limit`, b within it; a and b alternate along `dim`, or are its halves."""
    moved = wide(x).movedim(dim, -1)
    first, second = (moved[..., 0::2], moved[..., 1::2]) if interleaved else moved.chunk(2, -1)
    first, second = first.clamp(max=limit), second.clamp(-limit, limit)
    return (first / (1 + torch.exp(-alpha * first)) * (second + bias)).movedim(-1, dim).to(x.dtype)
