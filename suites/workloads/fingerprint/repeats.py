"""Probes of repetition, and of whether a row depends on its batch. Knows no device."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from suites.workloads.fingerprint.probing import Probe, cases, probing

_TIMES = 16
_BATCHES = (1, 2, 3, 4, 8, 16, 31, 64, 128, 257)
_WIDTH, _TOKENS, _HEAD = 192, 8, 32


def repeats(inputs: Inputs, /) -> Step:
    """Repeat products, sums and additions into shared places, with other work in between; each output is [times, ...]."""
    left, right = inputs.normal("left", (31, 1025)), inputs.normal("right", (1025, 33))
    long, matrix = inputs.normal("long", (20000,)), inputs.normal("matrix", (257, 33))
    source, base = inputs.normal("source", (2048, 8)), inputs.normal("base", (13, 8))
    places = inputs.integers("places", (2048,), 0, 13)
    other = inputs.normal("other", (64, 64))

    def repeated(operator: Callable[[], Tensor]) -> Probe:
        def run() -> Tensor:
            results = []
            for i in range(_TIMES):
                results.append(operator())
                other[: 1 + 7 * (i % 9)] @ other  # so that no two calls find the device in the same state
            return torch.stack(results)

        return run

    return probing(
        {
            "matmul": repeated(lambda: left @ right),
            "sum": repeated(long.sum),
            "sum over rows": repeated(lambda: matrix.sum(dim=0)),
            "mean": repeated(lambda: matrix.mean(dim=1)),
            "softmax": repeated(lambda: torch.softmax(matrix, -1)),
            "cumsum": repeated(lambda: matrix.cumsum(0)[-1]),
            "index_add": repeated(lambda: base.index_add(0, places, source)),
            "scatter_add": repeated(lambda: base.scatter_add(0, places[:, None].expand(-1, 8), source)),
            "index_put": repeated(lambda: base.index_put((places,), source, accumulate=True)),
        },
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )


def batches(inputs: Inputs, /) -> Step:
    """Compute one row alone and as the first of larger batches; each output is [batches, ...]."""
    rows, weight = inputs.normal("rows", (max(_BATCHES), _WIDTH)), inputs.normal("weight", (_WIDTH, _WIDTH))
    sequences = inputs.normal("sequences", (max(_BATCHES), 2, _TOKENS, _HEAD))

    def first_of(operator: Callable[[int], Tensor]) -> Probe:
        return lambda: torch.stack([operator(size)[0].clone() for size in _BATCHES])

    def attention(size: int) -> Tensor:
        return F.scaled_dot_product_attention(sequences[:size], sequences[:size], sequences[:size])

    return probing(
        {
            "matmul": first_of(lambda size: rows[:size] @ weight),
            "softmax": first_of(lambda size: torch.softmax(rows[:size], -1)),
            "layer_norm": first_of(lambda size: F.layer_norm(rows[:size], (_WIDTH,))),
            "attention": first_of(attention),
        },
        batches=_BATCHES,
    )


CASES = (*cases(repeats, "repetition", "repeats"), *cases(batches, "batch", "batches"))
