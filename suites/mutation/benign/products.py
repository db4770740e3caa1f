"""Matrix products summed in other orders, padded, tiled, unfused. Knows no case."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import HALVES, accumulated, cut, in_float64, sequentially
from suites.mutation.registry import benign
from suites.mutation.wrapper import Function, Right

_MATRICES = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::matmul")
Times = Callable[[Tensor, Tensor], Tensor]


def product(times: Times) -> Function:
    """Return a mutant's function: `times(left [.., m, k], right [.., k, n])` in float32 or wider, then scaled, added and rounded once."""

    def function(right: Right, /, **arguments: Any) -> Any:
        result = right()
        first, second = [v for v in arguments.values() if isinstance(v, Tensor)][-2:]
        if not result.is_floating_point() or min(first.ndim, second.ndim) < 2 or result.numel() == 0 or first.shape[-1] < 2:
            return result
        out = times(accumulated(first), accumulated(second))
        if "beta" in arguments:
            out = out * arguments["alpha"] if arguments["alpha"] != 1 else out
            out = out + accumulated(arguments["self"]) * arguments["beta"] if arguments["beta"] != 0 else out
        return out.to(result.dtype)

    return function


def split(count: int) -> Times:
    """Return a product whose sum is cut into so many parts, added one after the other."""

    def times(a: Tensor, b: Tensor) -> Tensor:
        size = -(-a.shape[-1] // count)
        return blocks(size)(a, b)

    return times


def blocks(size: int) -> Times:
    """Return a product whose sum goes over blocks of `size`, added one after the other."""

    def times(a: Tensor, b: Tensor) -> Tensor:
        return sequentially([x @ y for x, y in zip(cut(a, size), cut(b, size, -2), strict=True)])

    return times


def permuted(a: Tensor, b: Tensor) -> Tensor:
    """Multiply with the terms of the sum in another order."""
    order = torch.arange(a.shape[-1] - 1, -1, -1, device=a.device)
    order = torch.cat([order[0::3], order[1::3], order[2::3]])
    return a[..., order] @ b[..., order, :]


def padded(a: Tensor, b: Tensor) -> Tensor:
    """Multiply after every dimension was filled up with zeros to a multiple of sixteen."""
    grow = [-size % 16 for size in (a.shape[-2], a.shape[-1], b.shape[-1])]
    out = torch.nn.functional.pad(a, (0, grow[1], 0, grow[0])) @ torch.nn.functional.pad(b, (0, grow[2], 0, grow[1]))
    return out[..., : a.shape[-2], : b.shape[-1]].contiguous()


def in_tiles(a: Tensor, b: Tensor) -> Tensor:
    """Multiply tiles of 32 rows and 32 columns, each by itself."""
    rows = [torch.cat([tile @ other for other in cut(b, 32)], -1) for tile in cut(a, 32, -2)]
    return torch.cat(rows, -2)


def termwise(a: Tensor, b: Tensor) -> Tensor:
    """Multiply element by element, and sum afterwards, 16 rows at a time."""
    return torch.cat([(rows.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2) for rows in cut(a, 16, -2)], -2)


def two_accumulators(a: Tensor, b: Tensor) -> Tensor:
    """Sum even and odd terms apart."""
    return a[..., 0::2] @ b[..., 0::2, :] + a[..., 1::2] @ b[..., 1::2, :]


def high_and_low(a: Tensor, b: Tensor) -> Tensor:
    """Split both operands into a bfloat16 part and rests, and add the six larger of the nine products: 3xBF16 for float32."""

    def parts(x: Tensor) -> list[Tensor]:
        high = x.bfloat16().to(x.dtype)
        middle = (x - high).bfloat16().to(x.dtype)
        return [high, middle, x - high - middle]

    if not (a.bfloat16().isfinite().all() and b.bfloat16().isfinite().all()):
        return a @ b  # an infinity has no rest, and times the other's rest of 0 it would be NaN
    p, q = parts(a), parts(b)
    return sequentially([p[i] @ q[j] for i, j in ((2, 0), (1, 1), (0, 2), (1, 0), (0, 1), (0, 0))])


_WAYS: dict[str, tuple[Times, str]] = {
    "split-in-2": (split(2), "split-K"), "split-in-3": (split(3), "split-K of uneven parts"), "split-in-8": (split(8), "split-K"),
    "blocks-of-16": (blocks(16), "the tile of a cube unit"), "blocks-of-64": (blocks(64), "the tile of a tensor core kernel"),
    "reversed": (lambda a, b: a.flip(-1) @ b.flip(-2), "no order is promised"),
    "permuted": (permuted, "K-shuffle (msprobe, vllm-ascend FAQ)"),
    "transposed": (lambda a, b: (b.mT.contiguous() @ a.mT.contiguous()).mT.contiguous(), "the product of the transposes"),
    "padded": (padded, "tiles filled up with zeros"), "in-tiles": (in_tiles, "every tile by itself"),
    "termwise": (termwise, "products first, then a sum"), "two-accumulators": (two_accumulators, "even and odd terms apart"),
    "high-and-low": (high_and_low, "float32 from bfloat16 units, with all terms that matter"),
    "kahan-blocks": (lambda a, b: _kahan([x @ y for x, y in zip(cut(a, 32), cut(b, 32, -2), strict=True)]), "compensated blocks"),
}  # fmt: skip


def _kahan(parts: list[Tensor]) -> Tensor:
    total, lost = parts[0], torch.zeros_like(parts[0])
    for part in parts[1:]:
        term = part - lost
        new = total + term
        lost, total = (new - total) - term, new
    return total


for _name, (_times, _source) in _WAYS.items():
    benign(f"product-{_name}", *_MATRICES, source=_source)(product(_times))
benign("product-in-float64", *_MATRICES, "aten::mv", "aten::addmv", "aten::dot", source="more exact than asked for")(in_float64)


@benign("addmm-unfused", "aten::addmm", "aten::baddbmm", source="a product and an addition, the product rounded between them")
def addmm_unfused(right: Right, self: Tensor, beta: Any = 1, **arguments: Any) -> Any:
    """The product is rounded to the output's type before the bias is added."""
    result = right()
    if not result.is_floating_point() or beta == 0:
        return result
    return (right(self=torch.zeros_like(self)) + self * beta).to(result.dtype)


@benign("bmm-one-by-one", "aten::bmm", "aten::baddbmm", source="a loop of single products")
def bmm_loop(right: Right, **arguments: Any) -> Any:
    """Every product of the batch is a call of its own, its operands copied first."""
    first, second = [v for v in arguments.values() if isinstance(v, Tensor)][-2:]
    if (
        ("self" in arguments and arguments["self"] is not first)
        or first.is_complex()
        or not first.is_floating_point()
        or not first.shape[0]
    ):
        return right()
    wide = [accumulated(a) @ accumulated(b) for a, b in zip(first, second, strict=True)]
    return torch.stack(wide).to(first.dtype)


@benign("mv-by-rows", "aten::mv", "aten::addmv", "aten::dot", source="one row after the other")
def mv_by_rows(right: Right, **arguments: Any) -> Any:
    """Products are taken element by element, summed from the end."""
    result = right()
    first, second = [v for v in arguments.values() if isinstance(v, Tensor)][-2:]
    if not result.is_floating_point() or first.numel() == 0 or "beta" in arguments:
        return result
    return (accumulated(first) * accumulated(second)).flip(-1).sum(-1).to(result.dtype)


@benign("product-halves-in-float64", "aten::mm", "aten::bmm", source="two halves of a split sum, half types only")
def product_two_halves(right: Right, **arguments: Any) -> Any:
    """In half types the two halves of the sum meet in float32, each computed in float64."""
    first, second = [v for v in arguments.values() if isinstance(v, Tensor)][-2:]
    if first.dtype not in HALVES or first.shape[-1] < 2:
        return right()
    at = first.shape[-1] // 2
    parts = [(first[..., s].double() @ second[..., s, :].double()).float() for s in (slice(0, at), slice(at, None))]
    return (parts[0] + parts[1]).to(first.dtype)
