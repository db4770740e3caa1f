"""Arithmetic that faults and benign variants are made of: rounding, widening, blocks along a dimension. Knows no operator by name."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

HALVES = (torch.float16, torch.bfloat16)
_NARROW = (torch.float32, torch.complex64, *HALVES)


def floating(value: object) -> bool:
    """Tell whether this is a tensor of a real floating dtype."""
    return isinstance(value, Tensor) and value.is_floating_point()


def cast(value: Any, dtype: torch.dtype, of: Sequence[torch.dtype] = (torch.float32, *HALVES)) -> Any:
    """Return nested values with the floating tensors of some dtypes turned into `dtype`; a None stays."""
    return tree_map(lambda x: x.to(dtype) if isinstance(x, Tensor) and x.dtype in of else x, value)


def like(value: Any, model: Any) -> Any:
    """Return `value` with every tensor rounded once to the dtype of its counterpart in `model`; both are a tensor or a sequence of them."""
    if isinstance(model, Tensor):
        return value.to(model.dtype)
    if isinstance(model, (tuple, list)):
        return type(model)(like(v, m) for v, m in zip(value, model, strict=True))
    return value


def in_float64(right: Any, /, **arguments: Any) -> Any:
    """Be a mutant's function: the operator in float64, its results rounded once. What is wide already stays as it is."""
    wide = cast(cast(arguments, torch.float64), torch.complex128, (torch.complex64,))
    tensors = [a for a in arguments.values() if isinstance(a, Tensor)]
    return like(right(**wide), right()) if any(t.dtype in _NARROW for t in tensors) else right()


def keep_bits(x: Tensor, bits: int) -> Tensor:
    """Return a float32 tensor rounded, to nearest even, to so many bits of significand (24 changes nothing)."""
    drop = 24 - bits
    raw = x.contiguous().view(torch.int32)
    half = (1 << (drop - 1)) - 1 + ((raw >> drop) & 1)
    rounded = ((raw + half) & ~((1 << drop) - 1)).view(torch.float32)
    return torch.where(torch.isfinite(x), rounded, x)


def truncated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a floating tensor in bfloat16 or float16, cut off towards zero instead of rounded to nearest (float16 subnormals apart)."""
    single = x.to(torch.float32).contiguous()
    mask = ~0xFFFF if dtype == torch.bfloat16 else ~0x1FFF
    cut = (single.view(torch.int32) & mask).view(torch.float32).to(dtype)
    return torch.where(torch.isfinite(single), cut, single.to(dtype))


def dims_of(dim: int | Sequence[int] | None, ndim: int) -> list[int]:
    """Return the dimensions that a reduction goes over, non-negative; all of them for None or an empty list."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return list(range(ndim))
    return [d % max(ndim, 1) for d in ([dim] if isinstance(dim, int) else dim)]


def reduced_last(x: Tensor, dim: int | Sequence[int] | None) -> Tensor:
    """Return `x` with the dimensions of a reduction moved to the end and flattened into one."""
    dims = dims_of(dim, x.ndim)
    kept = [d for d in range(x.ndim) if d not in dims]
    return x.permute(*kept, *dims).reshape(*[x.shape[d] for d in kept], -1) if x.ndim else x.reshape(1)


def restored(reduced: Tensor, x: Tensor, dim: int | Sequence[int] | None, keepdim: bool) -> Tensor:
    """Return the result of a reduction of `x` with its dimensions kept as 1 if `keepdim`."""
    if not keepdim:
        return reduced
    dims = dims_of(dim, x.ndim)
    return reduced.reshape([1 if d in dims else x.shape[d] for d in range(x.ndim)])


def sequentially(parts: Sequence[Tensor]) -> Tensor:
    """Return the sum of tensors, one after the other, each partial sum rounded to their dtype."""
    total = parts[0].clone()
    for part in parts[1:]:
        total = total + part
    return total


def pairwise(x: Tensor) -> Tensor:
    """Return the sum along the last dimension as a binary tree, every node rounded to the dtype of `x`."""
    while x.shape[-1] > 1:
        even = x[..., 0 : x.shape[-1] // 2 * 2 : 2] + x[..., 1::2]
        x = torch.cat([even, x[..., -1:]], -1) if x.shape[-1] % 2 else even
    return x.sum(-1)


def cut(x: Tensor, size: int, dim: int = -1) -> tuple[Tensor, ...]:
    """Return consecutive pieces of `size` along a dimension, the last one perhaps shorter."""
    return torch.split(x, size, dim)


def in_blocks(x: Tensor, size: int) -> Tensor:
    """Return the sum along the last dimension: blocks of `size` first, then their sums one after the other."""
    return sequentially([block.sum(-1) for block in cut(x, size)])


def altered(result: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a result, a tensor or a sequence of them, with `change` made to its first floating tensor (a copy, which it may write to)."""
    if isinstance(result, Tensor):
        return change(result.clone()) if result.is_floating_point() else result
    values = list(result)
    at = next((i for i, value in enumerate(values) if floating(value)), None)
    if at is None:
        return result
    values[at] = change(values[at].clone())
    return type(result)(values) if isinstance(result, (list, tuple)) else tuple(values)


def accumulated(x: Tensor) -> Tensor:
    """Return a tensor in the type in which its sums are to be computed: float32 for the half types."""
    return x.float() if x.dtype in HALVES else x


def layer_normed(right: Any, statistics: Callable[[Tensor, float], tuple[Tensor, Tensor]]) -> Any:
    """Return what layer_norm gives if `statistics(rows, eps)` are mean and reciprocal deviation, [n, 1]; rows are [n, width] in float32."""
    x, shape, weight, bias, eps = (right.arguments[n] for n in ("input", "normalized_shape", "weight", "bias", "eps"))
    result = right()
    if x.numel() == 0:
        return result
    rows = accumulated(x).reshape(*x.shape[: x.ndim - len(shape)], -1)
    mean, scale = statistics(rows, eps)
    out = ((rows - mean) * scale).reshape(x.shape)
    out = out if weight is None else out * accumulated(weight)
    out = out if bias is None else out + accumulated(bias)
    return like((out, mean.reshape(result[1].shape), scale.reshape(result[2].shape)), result)
