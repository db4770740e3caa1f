"""Messages between two ranks, objects, several groups and backends, meshes. For as many processes as you like from two on."""

import torch
import torch.distributed as dist

from tests.emulator.distributed.checks import EVERY, RANK, WORLD, Check, equal, total, values

CHECKS: dict[str, Check] = {}
NEXT, LAST = (RANK + 1) % WORLD, (RANK - 1) % WORLD


def check(function: Check) -> Check:
    """Register a check under its function's name."""
    CHECKS[function.__name__] = function
    return function


@check
def send_and_receive() -> None:
    found = torch.zeros(3, 3).npu()
    if RANK == 0:
        dist.send(values(RANK, 3, 3).npu(), dst=NEXT)
        dist.recv(found, src=LAST)
    else:
        dist.recv(found, src=LAST)
        dist.send(values(RANK, 3, 3).npu(), dst=NEXT)
    equal(found, values(LAST, 3, 3))


@check
def all_send_first() -> None:
    found = [torch.zeros(100_000).npu() for _ in range(3)]
    sends = [dist.isend(values(RANK + 10 * i, 100_000).npu(), dst=NEXT) for i in range(3)]
    for work in [*[dist.irecv(one, src=LAST) for one in found], *sends]:
        work.wait()
    for i, one in enumerate(found):
        equal(one, values(LAST + 10 * i, 100_000))


@check
def sent_memory_may_be_reused() -> None:
    found = torch.zeros(1000).npu()
    if RANK == 0:
        own = values(0, 1000).npu()
        dist.isend(own, dst=1).wait()
        own.copy_(torch.zeros(1000))
    elif RANK == 1:
        dist.recv(found, src=0)
        equal(found, values(0, 1000))


@check
def batch_isend_irecv() -> None:
    found = [torch.zeros(50_000).npu() for _ in range(2)]
    operations = [dist.P2POp(dist.irecv, one, LAST) for one in found]
    operations += [dist.P2POp(dist.isend, values(RANK + 10 * i, 50_000).npu(), NEXT) for i in range(2)]
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    for i, one in enumerate(found):
        equal(one, values(LAST + 10 * i, 50_000))


@check
def batch_of_hccl() -> None:
    found = torch.zeros(5).npu()
    backend = dist.group.WORLD._get_backend(torch.device("npu"))
    backend.batch_isend_irecv(["isend", "irecv"], [values(RANK, 5).npu(), found], [NEXT, LAST]).wait()
    equal(found, values(LAST, 5))


@check
def barrier() -> None:
    dist.barrier()


@check
def objects() -> None:
    found: list[object] = [None] * WORLD
    dist.all_gather_object(found, {"rank": RANK, "text": "x" * 1000 * RANK})
    assert found == [{"rank": rank, "text": "x" * 1000 * rank} for rank in EVERY]
    listed: list[object] = [("of", RANK), RANK]
    dist.broadcast_object_list(listed, src=1)
    assert listed == [("of", 1), 1]
    mine: list[object] = [None]
    dist.scatter_object_list(mine, [["of", rank] for rank in EVERY] if RANK == 0 else None, src=0)
    assert mine == [["of", RANK]]
    gathered: list[object] = [None] * WORLD
    dist.gather_object({RANK}, gathered if RANK == 0 else None, dst=0)
    assert RANK or gathered == [{rank} for rank in EVERY]


@check
def groups() -> None:
    pair, singles = dist.new_group([0, 1]), [dist.new_group([rank]) for rank in EVERY]
    alone, found = values(RANK, 5).npu(), torch.zeros(1, 5).npu()
    dist.all_reduce(alone, group=singles[RANK])
    dist.all_gather_single(found, alone, group=singles[RANK])
    equal(found, values(RANK, 1, 5))
    if RANK < 2:
        own, sent, received = values(RANK, 5).npu(), values(RANK, 5).npu(), torch.zeros(5).npu()
        dist.all_reduce(own, group=pair)
        equal(own, values(0, 5) + values(1, 5))
        works = [dist.isend(sent, dst=1 - RANK, group=pair), dist.irecv(received, src=1 - RANK, group=pair)]
        for work in works:
            work.wait()
        equal(received, values(1 - RANK, 5))
        dist.destroy_process_group(pair)
    everybody = values(RANK, 5).npu()
    dist.all_reduce(everybody)
    equal(everybody, total(5))
    dist.destroy_process_group(singles[RANK])


@check
def name_of_the_group() -> None:
    assert dist.group.WORLD._get_backend(torch.device("npu")).get_hccl_comm_name(RANK)


@check
def two_backends() -> None:
    group = dist.new_group(backend="cpu:gloo,npu:hccl")
    for device in ("cpu", f"npu:{RANK}"):
        own = torch.full((5,), 2.0**RANK, device=device)
        dist.all_reduce(own, group=group)
        assert own.tolist() == [2.0**WORLD - 1] * 5
    dist.destroy_process_group(group)


@check
def device_mesh() -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("npu", (WORLD, 1), mesh_dim_names=("data", "model"))
    whole = values(0, 3 * WORLD, 2 * WORLD)
    sharded = distribute_tensor(whole.npu(), mesh["data"], [Shard(0)])
    equal(sharded.to_local(), whole.chunk(WORLD)[RANK])
    equal(sharded.redistribute(placements=[Shard(1)]).to_local(), whole.chunk(WORLD, dim=1)[RANK])
    equal(sharded.redistribute(placements=[Replicate()]).to_local(), whole)


@check
def counted() -> None:
    from emulator.bridge import counters

    own, before = values(RANK, 5).npu(), counters()
    dist.all_reduce(own)
    own.cpu()
    after = counters()
    assert after["calls"]["HcclAllReduce"] == before["calls"].get("HcclAllReduce", 0) + 1
    assert after["copies_out_of_operators"] == before["copies_out_of_operators"] + 1
