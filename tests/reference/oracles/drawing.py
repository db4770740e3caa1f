"""Float64 tensors for the tests of oracles, from a seed. Knows no oracle."""

import torch
from torch import Tensor


def drawn(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def leaf(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return drawn(*shape, seed=seed, scale=scale).requires_grad_()
