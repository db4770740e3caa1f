"""Start the ranks of a world, each a worker process on a device of its own, and gather what they return. Knows no way to train.

A rank is a worker of `harness.isolate`: it crashes, hangs and answers like any other, and its tensors come back in a recording. Workers
stay for the next world, because starting one takes longer than what tiny models have to do in it.
"""

import atexit
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from harness.case import Case
from harness.devices import available_devices
from harness.isolate import Worker, record_in
from harness.manner import Manner
from harness.recording import Recording, Status, read_recording, slug

PATIENCE = 60.0  # seconds that a rank waits for the others in one collective


def together(case: Case, world: int, device: torch.device) -> list[dict[str, Tensor]]:
    """Run `case` in `world` processes at once and return what each returned, host tensors, in the order of the ranks.

    The case has the parameters `rank`, `world` and `meeting` (a file where they find each other), and joins the others with `joined`.
    Raises NotImplementedError where there are fewer devices of this kind than ranks or the ranks say that they cannot, and RuntimeError
    that quotes every rank that failed.
    """
    workers = [_worker(rank, name) for rank, name in enumerate(_devices(device, world))]
    with tempfile.TemporaryDirectory(prefix="assay-ranks-", ignore_cleanup_errors=True) as folder:

        def recorded(rank: int) -> Recording:
            into = Path(folder) / str(rank)
            asked = case.with_params(rank=rank, world=world, meeting=str(Path(folder) / "meeting"))
            record_in(workers[rank], asked, into, "", Manner.PLAIN)
            return read_recording(into / slug(asked.id))

        with ThreadPoolExecutor(world) as pool:
            list(pool.map(Worker.environment, workers))  # nobody waits in a collective for one that is still starting
            recordings = list(pool.map(recorded, range(world)))
        _raise_if_failed(recordings)
        return [{name: torch.from_numpy(array.copy()) for name, array in told.tensors.items()} for told in recordings]


def _devices(device: torch.device, world: int) -> list[str]:
    """Return the device of each rank, this one first. On a CPU all ranks share it; no accelerator takes two ranks of one world."""
    if device.type == "cpu":
        return ["cpu"] * world
    others = [name for name in available_devices() if name.startswith(f"{device.type}:") and name != str(device)]
    if len(others) + 1 < world:
        raise NotImplementedError(f"a world of {world} needs as many {device.type} devices, and this machine has {len(others) + 1}")
    return [str(device), *others][:world]


@cache
def _folder() -> Path:
    """Return the folder of the workers' logs, there until this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="assay-rank-logs-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def _worker(rank: int, device: str) -> Worker:
    worker = Worker(device, _folder() / f"{device.replace(':', '-')}-{rank}.log")
    atexit.register(worker.stop)
    return worker


def _raise_if_failed(recordings: list[Recording]) -> None:
    failed = [(rank, told) for rank, told in enumerate(recordings) if told.status is not Status.OK]
    if not failed:
        return
    text = "; ".join(f"rank {rank} of {len(recordings)} on {told.device}: {told.status}: {told.message[:300]}" for rank, told in failed)
    if any(told.status is Status.UNSUPPORTED for _, told in failed):  # the others wait for it in vain
        raise NotImplementedError(text)
    raise RuntimeError(text)


@contextmanager
def joined(device: torch.device, rank: int, world: int, meeting: str) -> Iterator[DeviceMesh]:
    """Be a rank of a world for as long as this lasts; the backend is PyTorch's own for this kind of device (gloo, nccl, hccl).

    The group ends in any case: ranks that wait for one that failed are told at once, or after PATIENCE.
    """
    backend = dist.get_default_backend_for_device(device.type)
    store = dist.FileStore(meeting, world)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=timedelta(seconds=PATIENCE))
    try:
        yield init_device_mesh(device.type, (world,))
    finally:
        dist.destroy_process_group()


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor, or all of one that is divided among the ranks; every rank must ask."""
    gathered: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return gathered.detach()


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, whole, under `<prefix>/<name>`."""
    return {f"{prefix}/{name}": whole(tensor) for name, tensor in tensors.items()}
