"""Exact probes: integers for which every legal order of summation gives the same bits, so that nothing is tolerated. Knows no device.

Operands are integers from [-2, 2], so few of them not zero that no partial sum, in any order, exceeds what the dtype holds exactly
(2^8 bfloat16, 2^11 float16, 2^24 float32). Sizes lie beside powers of two and tile edges, where loops have remainders. One element of a
sum dropped, a tail read twice, a partial sum rounded: each changes an integer.
"""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Case, Promise, Step
from harness.checks.answered import Answered
from harness.checks.exact import Exact
from harness.checks.probed import Probed
from harness.inputs import Inputs, draw_integers
from suites.workloads.operators.dtypes import DTYPES
from suites.workloads.operators.samples import Calls, Sample

CHECKS: tuple[Promise, ...] = (Answered(), Exact(only=("*.*",)), Probed())

_LARGEST = {"float32": 2**24, "bfloat16": 2**8, "float16": 2**11}
_PRODUCTS = ((1, 1, 1), (1, 17, 1), (3, 127, 5), (16, 128, 16), (17, 129, 15), (33, 255, 31), (64, 257, 65), (129, 1023, 3), (5, 4097, 7))
_LENGTHS = (1, 2, 15, 16, 17, 63, 65, 127, 128, 129, 255, 257, 1023, 1025, 2047, 2049, 4095, 4097)


class Integers:
    """Draws operands of one case, each under its own name."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs, self._drawn = inputs, 0

    def __call__(self, *shape: int, terms: int = 1, other: int = 2) -> Tensor:
        """Return integers of [-2, 2] in the case's dtype, on the host, for sums of `terms` products with operands of up to `other`.

        A share of them is kept such that even if all were alike no sum could leave the exact range.
        """
        self._drawn += 1
        exact = _LARGEST[str(self._inputs.dtype).removeprefix("torch.")]
        keep = max(1, min(1000, 1000 * exact // (4 * other * max(terms, 1))))
        flat = [host_integers(self._inputs.seed, f"{self._drawn}{what}", shape, *ends) for what, ends in (("v", (-2, 3)), ("k", (0, 1000)))]
        return torch.where(flat[1] < keep, flat[0], torch.zeros((), dtype=torch.int64)).to(self._inputs.dtype)

    def indices(self, count: int, size: int) -> Tensor:
        """Return int64 indices below `size`, many of them twice."""
        self._drawn += 1
        return host_integers(self._inputs.seed, f"{self._drawn}i", (count,), 0, size)


def host_integers(seed: int, name: str, shape: tuple[int, ...], low: int, high: int) -> Tensor:
    """Draw int64 values from [low, high), on the host."""
    return torch.from_numpy(draw_integers(seed, f"exact-{name}", math.prod(shape), low, high)).reshape(shape)


def _gradients(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Return a function that gives the result and the gradients of all operands but the last, which is the cotangent."""

    def call(*operands: Tensor) -> tuple[Tensor, ...]:
        leaves = [operand.detach().requires_grad_() for operand in operands[:-1]]
        result = function(*leaves)
        return (result.detach(), *torch.autograd.grad(result, leaves, operands[-1]))

    return call


def _products(draw: Integers) -> list[tuple[Tensor, ...]]:
    return [(draw(m, k, terms=k), draw(k, n, terms=k), draw(m, n, terms=max(m, n))) for m, k, n in _PRODUCTS]


def _batched(draw: Integers) -> list[tuple[Tensor, ...]]:
    return [(draw(3, m, k, terms=k), draw(3, k, n, terms=k), draw(3, m, n, terms=max(m, n))) for m, k, n in _PRODUCTS[:7]]


def _linear(draw: Integers) -> list[tuple[Tensor, ...]]:
    return [(draw(m, k, terms=k), draw(n, k, terms=k), draw(n), draw(m, n, terms=max(m, n))) for m, k, n in _PRODUCTS]


def _images(draw: Integers) -> list[tuple[Tensor, ...]]:
    shapes = ((1, 3, 5, 9, 9), (2, 16, 8, 17, 15), (1, 5, 17, 33, 7))
    return [(draw(n, c, h, w, terms=9 * c), draw(o, c, 3, 3, terms=9 * c), draw(n, o, h, w, terms=n * h * w)) for n, c, o, h, w in shapes]


def _rows(draw: Integers) -> list[tuple[Tensor, ...]]:
    return [(draw(3, length, terms=length, other=1), draw(3)) for length in _LENGTHS]


def _scanned(draw: Integers) -> list[tuple[Tensor, ...]]:
    return [(draw(3, length, terms=length, other=1), draw(3, length, terms=length, other=1)) for length in _LENGTHS]


def _scattered(draw: Integers) -> list[tuple[Tensor, ...]]:
    return [(draw(7, 17), draw.indices(length, 7), draw(length, 17, terms=length, other=1)) for length in _LENGTHS]


def _looked_up(draw: Integers) -> list[tuple[Tensor, ...]]:
    return [(draw(13, 17), draw.indices(length, 13), draw(length, 17, terms=length, other=1)) for length in _LENGTHS]


def _embedding(weight: Tensor, indices: Tensor, cotangent: Tensor) -> tuple[Tensor, ...]:
    leaf = weight.detach().requires_grad_()
    result = F.embedding(indices, leaf)
    return (result.detach(), *torch.autograd.grad(result, [leaf], cotangent))


def _halves(draw: Integers) -> list[tuple[Tensor, ...]]:
    return [(draw(3, length) / 2,) for length in _LENGTHS]


def _rounded(x: Tensor) -> tuple[Tensor, ...]:
    return torch.round(x), torch.floor(x), torch.ceil(x), torch.trunc(x)


#: What is probed: the operator, and its operands.
PROBES: Mapping[str, tuple[Callable[..., object], Callable[[Integers], list[tuple[Tensor, ...]]]]] = {
    "matmul": (_gradients(torch.matmul), _products),
    "bmm": (_gradients(torch.bmm), _batched),
    "linear": (_gradients(F.linear), _linear),
    "conv2d": (_gradients(lambda x, w: F.conv2d(x, w, padding=1)), _images),
    "sum": (_gradients(lambda x: x.sum(1)), _rows),
    "sum-of-columns": (_gradients(lambda x: x.mT.contiguous().sum(0)), _rows),
    "cumsum": (_gradients(lambda x: x.cumsum(1)), _scanned),
    "index_add": (lambda x, index, source: x.index_add(0, index, source), _scattered),
    "embedding": (_embedding, _looked_up),
    "round": (_rounded, _halves),
}


def exact(inputs: Inputs, /, *, probe: str) -> Step:
    """Call the operator on integers of several sizes; returns what `Calls` does, gradients as further results."""
    operator, operands = PROBES[probe]
    return Calls(inputs, operator, [Sample(arguments, {}) for arguments in operands(Integers(inputs))]).step()


CASES = tuple(
    Case(f"operators/exact/{probe}[{dtype}]", "operators", exact, dtype, CHECKS, {"probe": probe}, probed=True)
    for probe in PROBES
    for dtype in DTYPES
)
