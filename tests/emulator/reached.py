"""What a workload reached: the operators that ran, and that none was asked for which the emulator lacks. Knows no workload."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from emulator.bridge import counters


@contextmanager
def reached() -> Iterator[Counter[str]]:
    """Run a workload; its operators and their counts are in the Counter afterwards. Fails if an operator was refused.

    Silent computing on the CPU is impossible here: TORCH_NPU_FALLBACK_CPU_DISABLE=1 makes torch_npu raise where it would fall back.
    """
    torch.npu.init()
    before = counters()
    calls: Counter[str] = Counter()
    yield calls
    torch.npu.synchronize()
    after = counters()
    calls.update(Counter(after["calls"]) - Counter(before["calls"]))
    assert [name for name in after["refused"] if name not in before["refused"]] == []
    assert calls, "nothing ran on the emulated device"
