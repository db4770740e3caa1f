"""Integers, permutations and choices for fused operators, drawn on the host. Knows no operator and no device."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harness.inputs import Inputs, draw_integers


def whole(inputs: Inputs, name: str, shape: Sequence[int], low: int, high: int, dtype: torch.dtype = torch.int32) -> Tensor:
    """Draw integers from [low, high) in the given dtype, on the device."""
    values = draw_integers(inputs.seed, name, math.prod(shape), low, high)
    return inputs.given(name, torch.from_numpy(values).reshape(tuple(shape)).to(dtype))


def shuffled(seed: int, name: str, rows: int, count: int) -> np.ndarray:
    """Return int64 [rows, count]: in each row a permutation of 0 to count - 1."""
    order = draw_integers(seed, name, rows * count, 0, 1 << 32).reshape(rows, count)
    return np.argsort(order, axis=1, kind="stable")


def experts_of_tokens(inputs: Inputs, name: str, tokens: int, experts: int, chosen: int, dtype: torch.dtype = torch.int32) -> Tensor:
    """Draw `chosen` different experts for every token: [tokens, chosen], on the device."""
    return inputs.given(name, torch.from_numpy(shuffled(inputs.seed, name, tokens, experts)[:, :chosen].copy()).to(dtype))


def bits(inputs: Inputs, name: str, shape: Sequence[int], share: float) -> Tensor:
    """Draw booleans, true with probability `share`, on the device."""
    values = draw_integers(inputs.seed, name, math.prod(shape), 0, 1 << 16) < share * (1 << 16)
    return inputs.given(name, torch.from_numpy(values).reshape(tuple(shape)))
