"""The limit on the emulator's own cost: an emulated operator beside the bare CPU operator, in one run, by rounds in turn."""

import os
import statistics
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.skipif(os.environ.get("ASSAY_EMULATOR") != "1", reason="the emulator is not switched on here: see `tox -e limits`")

_OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "add": lambda x: x + x,
    "exp": torch.exp,
    "matmul": lambda x: x @ x,
    "softmax": lambda x: torch.softmax(x, -1),
    "sum": lambda x: x.sum(),
    "tril": torch.tril,
}
_CALLS, _ROUNDS = 100, 31


def microseconds(function: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(_CALLS):
        function()
    torch.npu.synchronize()
    return (time.perf_counter() - begun) / _CALLS * 1e6


@pytest.mark.benchmark(group="emulator")
def test_an_emulated_operator_costs_at_most_60_microseconds_more(benchmark: Callable[..., object]) -> None:
    host = torch.randn(16, 16)
    device = host.npu()
    extra = {}
    for name, function in _OPERATORS.items():
        microseconds(lambda: function(device)), microseconds(lambda: function(host))  # noqa: B023
        pairs = [(microseconds(lambda: function(device)), microseconds(lambda: function(host))) for _ in range(_ROUNDS)]  # noqa: B023
        extra[name] = statistics.median(npu - cpu for npu, cpu in pairs)
    print("microseconds beyond the CPU operator, median of each:", {name: round(value, 1) for name, value in extra.items()})
    assert statistics.median(extra.values()) <= 60
    benchmark.pedantic(lambda: microseconds(lambda: device + device), rounds=3)  # type: ignore[attr-defined]
