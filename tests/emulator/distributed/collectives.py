"""Every collective of `hccl`, each against the value that it must have. For as many processes as you like from two on."""

from itertools import product

import torch
import torch.distributed as dist

from tests.emulator.distributed.checks import EVERY, RANK, WORLD, Check, equal, reduced, total, values

CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Register a check under its function's name."""
    CHECKS[function.__name__] = function
    return function


REDUCTIONS = {
    dist.ReduceOp.SUM: torch.add, dist.ReduceOp.PRODUCT: torch.mul, dist.ReduceOp.MAX: torch.maximum, dist.ReduceOp.MIN: torch.minimum,
}  # fmt: skip
NUMBERS = (torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.int32, torch.int64)


@check
def all_reduce() -> None:
    for (operation, function), dtype in product(REDUCTIONS.items(), NUMBERS):
        own = values(RANK, 3, 5, dtype=dtype).npu()
        dist.all_reduce(own, operation)
        equal(own, reduced(*[values(rank, 3, 5, dtype=dtype) for rank in EVERY], function=function))


@check
def all_reduce_average() -> None:
    own = values(RANK, 7).npu()
    dist.all_reduce(own, dist.ReduceOp.AVG)
    equal(own, total(7) / WORLD)


@check
def all_reduce_bytes() -> None:
    for dtype in (torch.uint8, torch.bool):
        own = values(RANK, 9, dtype=dtype).npu()
        dist.all_reduce(own)
        equal(own, sum(values(rank, 9, dtype=dtype).int() for rank in EVERY).to(dtype))


@check
def all_reduce_large() -> None:
    own = values(RANK, 3_000_011).npu()
    dist.all_reduce(own)
    equal(own, total(3_000_011))


@check
def all_reduce_asynchronous() -> None:
    owns = [values(RANK + 10 * i, 100).npu() for i in range(20)]
    for work in [dist.all_reduce(own, async_op=True) for own in owns]:
        work.wait()
    for i, own in enumerate(owns):
        equal(own, reduced(*[values(rank + 10 * i, 100) for rank in EVERY]))


@check
def all_reduce_empty() -> None:
    own = torch.empty(0, device="npu")
    dist.all_reduce(own)
    equal(own, torch.empty(0))


@check
def all_reduce_refuses_float64() -> None:
    try:
        dist.all_reduce(torch.zeros(2, dtype=torch.float64).npu())
    except RuntimeError as error:
        text = str(error)
    assert "Unsupported data type" in text


@check
def broadcast() -> None:
    for dtype in (*NUMBERS, torch.float64, torch.uint8, torch.bool):
        own = values(RANK, 4, 4, dtype=dtype).npu()
        dist.broadcast(own, src=1)
        equal(own, values(1, 4, 4, dtype=dtype))


@check
def reduce() -> None:
    own = values(RANK, 6).npu()
    dist.reduce(own, dst=1)
    if RANK == 1:
        equal(own, total(6))


@check
def all_gather() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.int64, torch.bool):
        found = [torch.zeros(3, 7, dtype=dtype).npu() for _ in EVERY]
        dist.all_gather(found, values(RANK, 3, 7, dtype=dtype).npu())
        for rank, one in enumerate(found):
            equal(one, values(rank, 3, 7, dtype=dtype))


@check
def all_gather_of_other_sizes() -> None:
    found = [torch.zeros(3 + rank, 2).npu() for rank in EVERY]
    dist.all_gather(found, values(RANK, 3 + RANK, 2).npu())
    for rank, one in enumerate(found):
        equal(one, values(rank, 3 + rank, 2))


@check
def all_gather_single() -> None:
    for rows in (3, 1_000_003):
        found = torch.zeros(WORLD * rows).npu()
        dist.all_gather_single(found, values(RANK, rows).npu())
        equal(found, torch.cat([values(rank, rows) for rank in EVERY]))


@check
def all_gather_in_place() -> None:
    found = torch.zeros(WORLD, 5).npu()
    found[RANK].copy_(values(RANK, 5))
    dist.all_gather_single(found, found[RANK])
    equal(found, torch.stack([values(rank, 5) for rank in EVERY]))


@check
def all_gather_uneven() -> None:
    from torch_npu.distributed import all_gather_into_tensor_uneven

    sizes = [2 + rank for rank in EVERY]
    found = torch.zeros(sum(sizes), 3).npu()
    all_gather_into_tensor_uneven(found, values(RANK, sizes[RANK], 3).npu(), output_split_sizes=sizes)
    equal(found, torch.cat([values(rank, sizes[rank], 3) for rank in EVERY]))


@check
def reduce_scatter_single() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        found = torch.zeros(3, dtype=dtype).npu()
        dist.reduce_scatter_single(found, values(RANK, 3 * WORLD, dtype=dtype).npu())
        equal(found, total(3 * WORLD, dtype=dtype)[3 * RANK : 3 * RANK + 3])


@check
def reduce_scatter() -> None:
    found = torch.zeros(2, 3).npu()
    dist.reduce_scatter(found, [values(RANK + 10 * to, 2, 3).npu() for to in EVERY], op=dist.ReduceOp.MAX)
    equal(found, reduced(*[values(rank + 10 * RANK, 2, 3) for rank in EVERY], function=torch.maximum))


@check
def reduce_scatter_uneven() -> None:
    from torch_npu.distributed import reduce_scatter_tensor_uneven

    sizes = [2 + rank for rank in EVERY]
    found = torch.zeros(sizes[RANK], 3).npu()
    reduce_scatter_tensor_uneven(found, values(RANK, sum(sizes), 3).npu(), input_split_sizes=sizes)
    equal(found, total(sum(sizes), 3).split(sizes)[RANK])


@check
def coalesced() -> None:
    sums, parts, whole = [values(RANK, 5).npu(), values(RANK, 8).npu()], torch.zeros(2, 4).npu(), torch.zeros(2, WORLD * 4).npu()
    with dist._coalescing_manager(device=torch.device("npu", RANK)):
        for one in sums:
            dist.all_reduce(one)
    with dist._coalescing_manager(device=torch.device("npu", RANK)):
        for one, into in zip(values(RANK, 2, 4 * WORLD).npu(), parts, strict=True):
            dist.reduce_scatter_single(into, one)
    with dist._coalescing_manager(device=torch.device("npu", RANK)):
        for one, into in zip(values(RANK, 2, 4).npu(), whole, strict=True):
            dist.all_gather_single(into, one)
    equal(sums[0], total(5))
    equal(sums[1], total(8))
    equal(parts, total(2, 4 * WORLD)[:, 4 * RANK : 4 * RANK + 4])
    equal(whole, torch.cat([values(rank, 2, 4) for rank in EVERY], dim=1))


@check
def scatter() -> None:
    found = torch.zeros(4).npu()
    dist.scatter(found, [values(10 + to, 4).npu() for to in EVERY] if RANK == 1 else None, src=1)
    equal(found, values(10 + RANK, 4))


@check
def gather() -> None:
    found = [torch.zeros(4).npu() for _ in EVERY]
    dist.gather(values(RANK, 4).npu(), found if RANK == 0 else None, dst=0)
    if RANK == 0:
        for rank, one in enumerate(found):
            equal(one, values(rank, 4))


@check
def all_to_all_single() -> None:
    found = torch.zeros(2 * WORLD, 3).npu()
    dist.all_to_all_single(found, values(RANK, 2 * WORLD, 3).npu())
    equal(found, torch.cat([values(rank, 2 * WORLD, 3).chunk(WORLD)[RANK] for rank in EVERY]))


@check
def all_to_all_uneven() -> None:
    sent = [[(2 * rank + to) % 3 for to in EVERY] for rank in EVERY]  # rows that a rank sends to each
    received = [sent[rank][RANK] for rank in EVERY]
    found = torch.zeros(sum(received), 3, dtype=torch.int64).npu()
    own = values(RANK, sum(sent[RANK]), 3, dtype=torch.int64)
    dist.all_to_all_single(found, own.npu(), received, sent[RANK])
    equal(found, torch.cat([values(rank, sum(sent[rank]), 3, dtype=torch.int64).split(sent[rank])[RANK] for rank in EVERY]))


@check
def all_to_all() -> None:
    found = [torch.zeros(2 + RANK).npu() for _ in EVERY]
    dist.all_to_all(found, [values(RANK + 10 * to, 2 + to).npu() for to in EVERY])
    for rank, one in enumerate(found):
        equal(one, values(rank + 10 * RANK, 2 + RANK))
