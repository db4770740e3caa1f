"""Sums, means, products of elements and scans in other orders. Knows no case."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import accumulated, cut, in_blocks, in_float64, pairwise, reduced_last, restored, sequentially
from suites.mutation.registry import benign
from suites.mutation.wrapper import Function, Right

Order = Callable[[Tensor], Tensor]


def shuffled(x: Tensor) -> Tensor:
    """Return the sum along the last dimension, its terms in an order that has nothing to do with their place."""
    length = x.shape[-1]
    order = (torch.arange(length, device=x.device) * 7919 + 13) % length if length % 7919 else torch.arange(length, device=x.device)
    return in_blocks(x[..., order], 32)


def compensated(x: Tensor) -> Tensor:
    """Return Kahan's sum of strides of 64 along the last dimension, then of the rest."""
    total, lost = torch.zeros_like(x[..., :64]), torch.zeros_like(x[..., :64])
    for part in cut(x, 64):
        width = part.shape[-1]
        term = part - lost[..., :width]
        new = total[..., :width] + term
        lost[..., :width] = (new - total[..., :width]) - term
        total[..., :width] = new
    found = total.sum(-1)
    return torch.where(torch.isfinite(found), found, x.sum(-1))  # a compensation of infinity would be NaN


ORDERS: dict[str, Order] = {
    "reversed": lambda x: in_blocks(x.flip(-1), 8),
    "pairwise": pairwise,
    "seven-way": lambda x: sequentially([x[..., i::7].sum(-1) for i in range(min(7, x.shape[-1]))]),
    "blocks-of-16": lambda x: in_blocks(x, 16),
    "blocks-of-128": lambda x: in_blocks(x, 128),
    "two-halves": lambda x: x[..., : x.shape[-1] // 2].sum(-1) + x[..., x.shape[-1] // 2 :].sum(-1),
    "shuffled": shuffled,
    "compensated": compensated,
    "by-product": lambda x: sequentially([block @ torch.ones(block.shape[-1], dtype=x.dtype, device=x.device) for block in cut(x, 64)]),
}


def reduction(order: Order, mean: Callable[[Tensor, int], Tensor] | None = None) -> Function:
    """Return a mutant's function for a sum, or for a mean if `mean(total, count)` is given; other types than real floats are left alone."""

    def function(right: Right, /, self: Tensor, **rest: Any) -> Any:
        result = right()
        if not self.is_floating_point() or self.numel() == 0 or self.ndim == 0:
            return result
        rows = reduced_last(accumulated(self), rest.get("dim"))
        total = order(rows)
        total = mean(total, rows.shape[-1]) if mean else total
        return restored(total, self, rest.get("dim"), rest.get("keepdim", False)).to(result.dtype)

    return function


for _name, _order in ORDERS.items():
    benign(f"sum-{_name}", "aten::sum", source="addition is not associative, and no order is promised")(reduction(_order))
for _name in ("reversed", "pairwise", "blocks-of-16", "shuffled"):
    benign(f"mean-{_name}", "aten::mean", source="addition is not associative")(reduction(ORDERS[_name], lambda total, n: total / n))
benign("mean-by-reciprocal", "aten::mean", source="a product with 1/n instead of a division")(
    reduction(ORDERS["blocks-of-128"], lambda total, n: total * (1.0 / n))
)
benign("sum-in-float64", "aten::sum", source="more exact than asked for")(in_float64)
benign("mean-in-float64", "aten::mean", source="more exact than asked for")(in_float64)


@benign("mean-running", "aten::mean", source="Welford's running mean over blocks")
def mean_running(right: Right, self: Tensor, **rest: Any) -> Any:
    """Each block moves the mean towards its own."""

    def order(rows: Tensor) -> Tensor:
        mean, seen = torch.zeros_like(rows[..., 0]), 0
        for block in cut(rows, 32):
            seen += block.shape[-1]
            mean = mean + (block.mean(-1) - mean) * (block.shape[-1] / seen)
        return mean

    return reduction(order)(right, self=self, **rest)


@benign("prod-pairwise", "aten::prod", source="multiplication is not associative")
def prod_pairwise(right: Right, self: Tensor, dim: int | None = None, keepdim: bool = False, **_: Any) -> Any:
    """Factors are multiplied as a binary tree."""
    result = right()
    if not self.is_floating_point() or self.numel() == 0 or self.ndim == 0:
        return result
    rows = reduced_last(accumulated(self), dim)
    while rows.shape[-1] > 1:
        even = rows[..., 0 : rows.shape[-1] // 2 * 2 : 2] * rows[..., 1::2]
        rows = torch.cat([even, rows[..., -1:]], -1) if rows.shape[-1] % 2 else even
    return restored(rows[..., 0], self, dim, keepdim).to(result.dtype)


def _scanned(right: Right, scan: Callable[[Tensor], Tensor]) -> Any:
    """Return a scan along the last dimension of a real floating tensor, moved back and rounded."""
    result, x, dim = right(), right.arguments["self"], right.arguments["dim"]
    if not x.is_floating_point() or x.ndim == 0 or x.numel() == 0:
        return result
    return scan(accumulated(x).movedim(dim, -1)).movedim(-1, dim).to(result.dtype)


@benign("cumsum-by-doubling", "aten::cumsum", source="the scan of Hillis and Steele")
def cumsum_doubling(right: Right, **_: Any) -> Any:
    """Every element adds the one 1, 2, 4 ... before it."""

    def scan(x: Tensor) -> Tensor:
        step = 1
        while step < x.shape[-1]:
            x = torch.cat([x[..., :step], x[..., step:] + x[..., :-step]], -1)
            step *= 2
        return x

    return _scanned(right, scan)


@benign("cumsum-in-blocks", "aten::cumsum", source="blocks of sixteen scanned apart, then their totals added")
def cumsum_blocks(right: Right, **_: Any) -> Any:
    """Totals of earlier blocks are added to a block's own scan."""

    def scan(x: Tensor) -> Tensor:
        carry, done = torch.zeros_like(x[..., :1]), []
        for block in cut(x, 16):
            done.append(torch.cumsum(block, -1) + carry)
            carry = carry + block.sum(-1, keepdim=True)
        return torch.cat(done, -1)

    return _scanned(right, scan)


benign("cumprod-in-float64", "aten::cumprod", "aten::prod", source="more exact than asked for")(in_float64)
