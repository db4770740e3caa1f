"""Attention by its definition, in float64 and by autograd: what the device's fused operators are compared with."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return normal numbers of a type, the same every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def kept_if(keep: Callable[[int, int], bool], queries: int, keys: int) -> Tensor:
    """Return the mask of what is discarded, from a rule that says for a query and a key whether they meet."""
    return torch.tensor([[not keep(i, j) for j in range(keys)] for i in range(queries)])


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    discard: Tensor | None = None,
    bias: Tensor | float = 0.0,
    kept: Tensor | None = None,
    keep_prob: float = 1.0,
    sink: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the result and the softmax's maximum and sum, of [B, N, S, D] with shared heads. Rows without a key are zero."""
    group = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(group, dim=1) for x in (key, value))
    score = query @ key.mT * scale + bias
    if discard is not None:
        score = score.masked_fill(discard, -torch.inf)
    if sink is not None:
        score = torch.cat((score, sink.view(1, -1, 1, 1).expand(*score.shape[:3], 1)), dim=-1)
    top = score.amax(-1, keepdim=True)
    exponential = torch.exp(score - top.masked_fill(top.isinf(), 0))
    total = exponential.sum(-1, keepdim=True)
    probability = (exponential / total.masked_fill(total == 0, 1))[..., : key.shape[2]]
    if kept is not None:
        probability = probability * kept / keep_prob
    return probability @ value, top, total


def with_gradients(function: Callable[..., Any], tensors: list[Tensor], upstream: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return what `function` makes of the tensors, and the gradients of it for an upstream."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    out = function(*leaves)
    out.backward(upstream)
    return out.detach(), [leaf.grad for leaf in leaves if leaf.grad is not None]


def close(found: Tensor, expected: Tensor, tolerance: float = 2e-6) -> None:
    """Assert that a result of the NPU is the float64 one, up to a tolerance of its largest element."""
    assert found.device.type == "npu"
    error = (found.cpu().double() - expected).abs().max() if expected.numel() else torch.zeros(())
    assert found.shape == expected.shape
    assert error <= tolerance * max(1.0, float(expected.abs().max()) if expected.numel() else 1.0), f"off by {float(error)}"
