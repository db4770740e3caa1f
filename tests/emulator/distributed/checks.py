"""How processes that torchrun starts check many things and report each: what each has to give, what is equal. Knows no check."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from functools import reduce as fold

import torch
import torch.distributed as dist
from torch import Tensor

RANK, WORLD = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "2"))
EVERY = range(WORLD)
Check = Callable[[], None]


def values(rank: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return what a rank has to give, on the CPU: every rank can say what every other has."""
    generator = torch.Generator().manual_seed(1000 + rank)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(0, 2 if dtype == torch.bool else 11, shape, generator=generator).to(dtype)


def reduced(*given: Tensor, function: Callable[[Tensor, Tensor], Tensor] = torch.add) -> Tensor:
    """Return the reduction in the order of the ranks, reduced precision in float32."""
    wide = torch.float32 if given[0].dtype in (torch.float16, torch.bfloat16) else given[0].dtype
    return fold(function, [one.to(wide) for one in given]).to(given[0].dtype)


def total(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the sum of what the ranks have to give."""
    return reduced(*[values(rank, *shape, dtype=dtype) for rank in EVERY])


def equal(found: Tensor, expected: Tensor) -> None:
    """Assert equality to the last bit, and that the result is on this rank's device."""
    assert found.device == torch.device("npu", RANK), found.device
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0)


def run(checks: dict[str, Check]) -> None:
    """Run the checks named on the command line, or all, and print a line for each; end at the first that fails.

    After an error torch_npu runs nothing more, and says so only once: later checks would mean nothing.
    """
    torch.npu.set_device(RANK)
    dist.init_process_group("hccl", timeout=timedelta(seconds=60))
    for name in sys.argv[1:] or checks:
        begun, passed = time.monotonic(), False
        try:
            checks[name]()
            torch.npu.synchronize()
            passed = True
        finally:
            if not passed:
                print(f"{name} {RANK} failed: {traceback.format_exc()}", flush=True)
                os._exit(1)  # at once: the other ranks must not wait for this one
        print(f"{name} {RANK} ok {time.monotonic() - begun:.2f}\n", end="", flush=True)
    dist.destroy_process_group()
