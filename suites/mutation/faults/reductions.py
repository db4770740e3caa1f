"""Faults of sums, means, products, scans and extremes. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.arithmetic import HALVES, altered, cut, dims_of, reduced_last, restored, sequentially
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right

_SUMS = ("aten::sum", "aten::mean")


@fault("sum-tail-lost", *_SUMS, causes=(Cause.VALUES, Cause.PRECISION), source="VA-15831: a length padded to tiles, its rest lost")
def sum_tail(right: Right, self: Tensor, **rest: Any) -> Any:
    """Of more than 16 summands, those beyond the last full tile of 16 are left out."""
    dims = dims_of(rest.get("dim"), self.ndim)
    last = dims[-1] if dims else 0
    if not self.ndim or self.shape[last] < 16 or self.shape[last] % 16 == 0:
        return right()
    kept = self.clone()
    whole = self.shape[last] // 16 * 16
    kept.narrow(last, whole, self.shape[last] - whole).zero_()
    return right(self=kept)


@fault("sum-in-half", *_SUMS, causes=(Cause.PRECISION, Cause.STATISTIC), source="sums kept in the type of the output")
def sum_in_half(right: Right, self: Tensor, **rest: Any) -> Any:
    """Half types: blocks of sixteen are summed, and every partial sum is rounded."""
    result = right()
    if self.dtype not in HALVES or result.dtype not in HALVES or self.numel() == 0:
        return result
    rows = reduced_last(self, rest.get("dim"))
    total = sequentially([block.sum(-1) for block in cut(rows, 16)])
    total = total / rows.shape[-1] if "mean" in right.operator else total
    return restored(total, self, rest.get("dim"), rest.get("keepdim", False)).to(result.dtype)


@fault(
    "sum-of-integers-through-float",
    "aten::sum",
    "aten::cumsum",
    causes=(Cause.INTEGERS,),
    source="torch_npu API notes: int32 beyond 2^24 loses precision",
)
def sum_integers(right: Right, self: Tensor, **_: Any) -> Any:
    """Integers are summed in float32."""
    result = right()
    if self.is_floating_point() or self.is_complex() or result.is_floating_point() or result.is_complex():
        return result
    return right(self=self.to(torch.float32), dtype=torch.float32).to(result.dtype)


@fault("mean-of-padded-length", "aten::mean", causes=(Cause.VALUES,), source="VA-7460: padding counted")
def mean_padded(right: Right, self: Tensor, **rest: Any) -> Any:
    """The sum is divided by the number of elements rounded up to a multiple of eight."""
    count = 1
    for dim in dims_of(rest.get("dim"), self.ndim):
        count *= self.shape[dim] if self.ndim else 1
    return altered(right(), lambda out: out * count / (-(-count // 8) * 8)) if count > 8 else right()


@fault("mean-drops-last-row", "aten::sum.dim_IntList", "aten::mean.dim", causes=(Cause.TAIL,), source="a core's last block not written")
def reduction_last_row(right: Right, **_: Any) -> Any:
    """The last of several results is left at zero."""

    def change(out: Tensor) -> Tensor:
        if out.numel() > 1:
            out[tuple(size - 1 for size in out.shape)] = 0
        return out

    return altered(right(), change)


@fault(
    "cumsum-block-restart",
    "aten::cumsum",
    "aten::cumprod",
    "aten::logcumsumexp",
    causes=(Cause.TAIL, Cause.VALUES),
    source="a scan whose carry between blocks is lost",
)
def cumsum_restart(right: Right, self: Tensor, dim: int, **_: Any) -> Any:
    """Scans longer than a block of four, sixteen or 128 begin anew at the last block's border."""
    length = self.shape[dim] if self.ndim else 0
    block = next((b for b in (128, 16, 4) if length > b), 0)
    if not block:
        return right()
    parts = [right(self=part.contiguous()) for part in cut(self, block, dim)]
    return torch.cat(parts, dim).to(parts[0].dtype)


@fault(
    "extreme-ignores-nan",
    "aten::max",
    "aten::min",
    "aten::amax",
    "aten::amin",
    "aten::maximum",
    "aten::minimum",
    "aten::cummax",
    causes=(Cause.SPECIAL,),
    source="comparisons with NaN are false",
)
def extreme_ignores_nan(right: Right, self: Tensor, **rest: Any) -> Any:
    """NaN never wins."""
    if not self.is_floating_point():
        return right()
    lowest = -torch.inf if "max" in right.operator else torch.inf
    replaced = {
        n: torch.where(v.isnan(), lowest, v) for n, v in {"self": self, **rest}.items() if isinstance(v, Tensor) and v.is_floating_point()
    }
    return right(**replaced)


@fault(
    "extreme-misses-last",
    "aten::amax",
    "aten::amin",
    "aten::max.dim",
    "aten::min.dim",
    causes=(Cause.VALUES, Cause.SPARSE),
    source="a loop one step too short",
)
def extreme_misses_last(right: Right, self: Tensor, dim: Any, **_: Any) -> Any:
    """The last element of what is reduced is never looked at."""
    dims = dims_of(dim, self.ndim)
    if not self.ndim or self.shape[dims[-1]] < 2:
        return right()
    return right(self=self.narrow(dims[-1], 0, self.shape[dims[-1]] - 1))


@fault("product-of-elements-in-half", "aten::prod", causes=(Cause.PRECISION, Cause.STATISTIC), source="a running product kept in bfloat16")
def prod_in_half(right: Right, self: Tensor, **_: Any) -> Any:
    """The factors are rounded to bfloat16."""
    return right(self=self.bfloat16().to(self.dtype)) if self.dtype == torch.float32 else right()


@fault("sum-wanders", *_SUMS, causes=(Cause.UNSTEADY,), source="VA-9373: atomic additions in another order each time")
def sum_wanders(right: Right, **_: Any) -> Any:
    """The result changes by a unit of its last place from call to call."""
    shift = right.count() % 3
    return altered(right(), lambda out: out * (1 + torch.finfo(out.dtype).eps * shift))
