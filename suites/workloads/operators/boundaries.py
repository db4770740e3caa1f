"""Shapes beside powers of two and tile edges, special values, integers beyond 2^24: what loops, tables and conversions get wrong.

For every elementwise and masked operator, reduction and matrix product of PyTorch's own database, in each of its dtypes. Knows no device.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from harness.case import Case, Promise, Step
from harness.checks.answered import Answered
from harness.checks.closeness import Closeness
from harness.checks.exact import Exact
from harness.checks.probed import Probed
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs, draw_normal
from suites.assets import opinfo
from suites.workloads.operators.opinfo import DTYPES, FORM_ONLY, LEFT_OUT
from suites.workloads.operators.samples import Calls, Sample

CHECKS: tuple[Promise, ...] = (Answered(), SpecialValues(), Closeness(samples=True), Exact(), Probed())

_HELD = 2**11  # integers up to which every real dtype but bfloat16 is exact
_EDGES = tuple(sorted({max(2**k + d, 0) for k in range(11) for d in (-1, 0, 1)} | {47, 48, 49, 4095, 4097}))
_SIDES = (0, 1, 2, 3, 15, 16, 17, 31, 33, 63, 65, 127, 129, 255, 257)
_PLANES = ((0, 3), (3, 0), (1, 1), (1, 129), (129, 1), (3, 16), (3, 17), (15, 33), (17, 64), (5, 127), (2, 1025))


def _unary(draw: Callable[..., Tensor]) -> Iterator[tuple[Tensor, ...]]:
    yield from ((draw(length),) for length in _EDGES)
    yield from ((draw(*plane),) for plane in _PLANES)


def _binary(draw: Callable[..., Tensor]) -> Iterator[tuple[Tensor, ...]]:
    yield from ((draw(length), draw(length)) for length in _EDGES)
    yield from ((draw(*plane), draw(plane[1])) for plane in _PLANES)
    yield from ((draw(plane[0], 1), draw(*plane)) for plane in _PLANES)


def _folded(draw: Callable[..., Tensor]) -> Iterator[tuple[Tensor, int]]:
    """Yield operands with the dimension to be folded."""
    yield from ((draw(3, length), 1) for length in _EDGES if length)
    yield from ((draw(length, 3), 0) for length in _EDGES if length)
    yield from ((draw(3, length, 2), 1) for length in (1, 16, 17, 129))


#: Matrix products by their name in the database: their operands, made of factors [m, k] and [k, n], and of what is added, [m, n].
_PRODUCTS: Mapping[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]] = {
    "mm": lambda left, right, added: (left, right),
    "matmul": lambda left, right, added: (_twice(left), right),
    "bmm": lambda left, right, added: (_twice(left), _twice(right)),
    "mv": lambda left, right, added: (left, right[:, 0].contiguous()),
    "addmm": lambda left, right, added: (added, left, right),
    "baddbmm": lambda left, right, added: (_twice(added), _twice(left), _twice(right)),
    "addmv": lambda left, right, added: (added[:, 0].contiguous(), left, right[:, 0].contiguous()),
    "nn.functional.linear": lambda left, right, added: (left, right.mT.contiguous()),
}


def _twice(matrix: Tensor) -> Tensor:
    return torch.stack([matrix, matrix])


def _multiplied(draw: Callable[..., Tensor], name: str) -> Iterator[tuple[Tensor, ...]]:
    """Yield operands of which each side in turn takes every length."""
    for side in _SIDES:
        for m, k, n in ((side, 19, 5), (5, side, 19), (19, 5, side)):
            if n:  # a product with a vector has one column
                yield _PRODUCTS[name](draw(m, k), draw(k, n), draw(m, n))


#: Operators beside the reductions that work along one dimension: their rows have remainders as well.
_ALONG = ("softmax", "log_softmax", "logsumexp", "cumsum")

#: Operators that take a mask, by their name in the database: their operands, made of two alike and a mask that is broadcast to them.
_MASKED: Mapping[str, Callable[[Tensor, Tensor, Tensor], tuple[Any, ...]]] = {
    "masked_fill": lambda first, second, mask: (first, mask, 1),
    "where": lambda first, second, mask: (first, mask, second),  # as the database calls it
}


def _masked(draw: Callable[..., Tensor], name: str) -> Iterator[tuple[Any, ...]]:
    """Yield operands whose mask is broadcast along each dimension."""
    for m, n in ((1, 1), (3, 16), (15, 17), (33, 129), (64, 65)):
        for shape in ((m, n), (1, n), (m, 1), (n,), (2, m, n), (2, 1, n), (2, m, 1), (1, 1, n)):
            yield _MASKED[name](draw(2, m, n), draw(2, m, n), draw(*shape) > draw(*shape))


def _multiplied_specials(values: Tensor, name: str) -> Iterator[tuple[Tensor, ...]]:
    """Yield all products of two special values, and each value in a sum of 17 terms of which the others are zero.

    No two values are summed: whether an intermediate sum overflows is a matter of its order.
    """
    count, zeros = len(values), torch.zeros(len(values), max(len(values), 17), dtype=values.dtype)
    alone, place = zeros[:, :17].clone(), torch.arange(count)
    alone[place, place % 17] = values
    for k in range(count if name.endswith("mv") else 1):  # a product with a vector takes one value for all rows
        yield _PRODUCTS[name](values[:, None], values.roll(-k)[None, :], zeros[:, :count])
    yield _PRODUCTS[name](alone, torch.ones(17, 2, dtype=values.dtype), zeros[:, :2])


def _specials(dtype: torch.dtype) -> Tensor:
    """Return values at which arithmetic has rules of its own: zeros, extremes, subnormals, infinities, NaN; integers near 2^24."""
    if dtype is torch.bool:
        return torch.tensor([False, True])
    if not dtype.is_floating_point:
        info = torch.iinfo(dtype)
        near = [v for k in (7, 8, 15, 16, 24, 31, 53) for v in (2**k - 1, 2**k, 2**k + 1, -(2**k) - 1)]
        return torch.tensor(
            [v for v in (0, 1, -1, 2, 3, info.max, info.max - 1, info.min, info.min + 1, *near) if info.min <= v <= info.max]
        ).to(dtype)
    real = torch.finfo(dtype)
    root = 2.0 ** round(math.log2(real.max) / 2 + 1)  # its square overflows, and that of its reciprocal vanishes
    half = [0.5, 1.0, 1.0 + real.eps, 2.0, 3.0, 0.1, 20.0, 88.0, 104.0, real.max, real.tiny, real.tiny / 4, real.eps, root, 1 / root]
    return torch.tensor([0.0, *half, torch.inf, torch.nan, -0.0, *(-v for v in half), -torch.inf], dtype=torch.float64).to(dtype)


def _places(values: Tensor) -> list[int]:
    """Return where the values are moderate: not zero, and far from both ends of the range."""
    return [i for i, value in enumerate(values.tolist()) if value and 1e-3 < abs(float(value)) < 1e3]


def _moderate(values: Tensor) -> Tensor:
    return values[_places(values)]


def _divisible(first: Tensor, second: Tensor) -> Tensor:
    """Return where an integer division is defined: that of the least integer and -1 is not, and ends the process on x86."""
    if first.dtype.is_floating_point or first.dtype in (torch.bool, torch.uint8):
        return torch.ones(len(first), dtype=torch.bool)
    least = torch.iinfo(first.dtype).min
    return ~(((first == least) & (second == -1)) | ((first == -1) & (second == least)))


def _makes_real(op: Any, kind: str, values: Tensor) -> bool:
    """Say whether the operator makes real numbers of integers: those that float32 cannot hold are then no integers any more."""
    if values.dtype.is_floating_point or values.dtype is torch.bool or kind == "product":
        return False
    ones = torch.ones(2, 2, dtype=values.dtype)
    result = op(ones, ones) if kind == "binary" else op(ones, dim=1) if kind == "reduction" else op(ones, **_keywords(op, values.dtype))
    return any(isinstance(leaf, Tensor) and leaf.dtype.is_floating_point for leaf in tree_leaves(result))


def _kind(op: Any) -> str:
    """Return `unary`, `binary`, `reduction`, `product` or `masked` for an operator whose arguments are known by its kind, or nothing."""
    from torch.testing._internal.opinfo import core

    if isinstance(op, core.UnaryUfuncInfo):
        return "unary" if op.name != "fill" else ""  # it takes a second argument, and is filed under those that do not
    if isinstance(op, core.BinaryUfuncInfo):
        return "binary"
    if op.name in _PRODUCTS:
        return "" if op.variant_test_name else "product"
    if op.name in _MASKED:
        return "masked"
    folds = isinstance(op, core.ReductionOpInfo) and not op.name.startswith("masked.")
    return "reduction" if folds or (op.name in _ALONG and not op.variant_test_name) else ""


def _keywords(op: Any, dtype: torch.dtype) -> dict[str, Any]:
    """Return the keywords without which a unary operator cannot be called (a threshold, an order, a weight that is drawn).

    rrelu draws at random in training only; that is judged by its law elsewhere.
    """
    with opinfo.drawn_from(0):
        keywords = dict(op.sample_kwargs("cpu", dtype, torch.ones(2, dtype=dtype))[0])
    return keywords | ({"training": False} if "training" in keywords else {})


def _leaf(argument: Any) -> Any:
    return argument.requires_grad_() if isinstance(argument, Tensor) and argument.is_floating_point() else argument


def _draw(inputs: Inputs, narrow: bool) -> Callable[..., Tensor]:
    """Return a function that draws a host tensor of a shape; `narrow`: near 1, so that long products stay in range."""
    count = 0

    def draw(*shape: int) -> Tensor:
        nonlocal count
        count += 1
        drawn = draw_normal(inputs.seed, f"boundary-{count}", int(np.prod(shape))).reshape(shape)
        values = 1 + drawn / 64 if narrow else 3 * drawn
        if inputs.dtype is torch.bool:
            return torch.from_numpy(values > 0)
        if not inputs.dtype.is_floating_point:
            return torch.from_numpy(np.rint(np.abs(values) if inputs.dtype is torch.uint8 else values)).to(inputs.dtype)
        return torch.from_numpy(values).to(inputs.dtype)

    return draw


_MULTIPLY = ("prod",)
_DIVIDES = ("lcm",)  # by a divisor that is -1 for the least and the largest integer together, which ends the process on x86


def shapes(inputs: Inputs, /, *, operator: str) -> Step:
    """Call an operator on drawn values in shapes beside every power of two, forward and backward; returns what `Calls` does."""
    op = opinfo.operators()[operator]
    kind, backward = _kind(op), opinfo.differentiable(op, inputs.dtype)
    draw = _draw(inputs, op.name in _MULTIPLY)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
    if kind == "reduction":
        calls = [((operand,), {"dim": dim}) for operand, dim in _folded(draw)]
    elif kind == "masked":
        calls = [(operands, {}) for operands in _masked(draw, op.name)]
    elif kind == "product":
        calls = [(operands, {}) for operands in _multiplied(draw, op.name)]
    else:
        keywords = _keywords(op, inputs.dtype) if kind == "unary" else {}
        calls = [(operands, keywords) for operands in (_unary if kind == "unary" else _binary)(draw)]
    samples = [Sample(tuple(_leaf(a) if backward else a for a in operands), keywords) for operands, keywords in calls]
    return Calls(inputs, op, samples).step()


def special(inputs: Inputs, /, *, operator: str) -> Step:
    """Call an operator on special values, in pairs where it takes two, in short rows where it folds; returns what `Calls` does."""
    op = opinfo.operators()[operator]
    values, kind = _specials(inputs.dtype), _kind(op)
    if op.name in _DIVIDES or _makes_real(op, kind, values):
        values = values[values.double().abs() <= _HELD]  # as numbers: a byte makes another of the limit
    if kind == "unary":
        keywords = _keywords(op, inputs.dtype)
        # vectorised loops have another path than their rest; beside the largest numbers nothing shows of the small ones
        samples = [Sample((v,), keywords) for v in (values.clone(), values.repeat(9), _moderate(values))]
    elif kind == "binary":
        first, second = (values[list(side)] for side in zip(*product(range(len(values)), repeat=2), strict=True))
        first, second = (side[_divisible(first, second)] for side in (first, second))
        samples = [Sample((first, second), {})]
        pairs = [values[list(side)] for side in zip(*product(_places(values), repeat=2), strict=True)]
        samples.append(Sample((pairs[0], pairs[1]), {}))
        if not inputs.dtype.is_floating_point:  # a division by zero may be refused, and must not take the rest with it
            held = (first if op.name.startswith("__r") else second) != 0
            samples.append(Sample((first[held], second[held]), {}))
    elif kind == "product":
        samples = [Sample(operands, {}) for operands in _multiplied_specials(values, op.name)]
    else:
        rows = torch.stack([values.roll(k)[:3] for k in range(len(values))]) if len(values) > 2 else values.repeat(3, 1)
        samples = [Sample((rows,), {"dim": 1}), Sample((rows.mT.contiguous(),), {"dim": 0})]
    return Calls(inputs, op, samples).step()


def _cases() -> Iterator[Case]:
    for workload, (name, op) in product((shapes, special), opinfo.operators().items()):
        if not _kind(op) or (workload is special and _kind(op) == "masked") or name in LEFT_OUT or name in FORM_ONLY:
            continue
        for dtype in (d for d in DTYPES if d in opinfo.dtypes(op)):
            yield Case(
                f"operators/{workload.__name__}/{name}[{dtype}]",
                "operators",
                workload,
                dtype,
                CHECKS,
                {"operator": name},
                probed=True,
                wide=True,
            )


CASES = tuple(_cases())
