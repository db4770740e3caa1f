"""What becomes of a process whose peer dies (rank 0) or falls silent (rank 1). Rank 2 is the peer of both.

`python -m tests.emulator.distributed.failures FOLDER` leaves the output of each rank in the folder and prints how ranks 0 and 1 ended.
"""

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

DIES, SILENT, PEER = range(3)
TIMEOUTS = (60, 2)  # seconds, of the group of each with the peer


def rank(own: int) -> int:
    """Be a rank; return how it ends: 9 if it is told of an error."""
    torch.npu.set_device(own % 2)
    dist.init_process_group("hccl", rank=own, world_size=3)
    groups = [dist.new_group([one, PEER], timeout=timedelta(seconds=seconds)) for one, seconds in enumerate(TIMEOUTS)]
    for group in groups if own == PEER else [groups[own]]:
        dist.all_reduce(torch.ones(5).npu(), group=group)
    torch.npu.synchronize()
    if own == PEER:
        time.sleep(60)  # until it is killed
        return 0
    begun = time.monotonic()
    try:
        dist.all_reduce(torch.ones(5).npu(), group=groups[own])
        torch.npu.synchronize()
    except RuntimeError as error:
        print(f"{error}\nafter {time.monotonic() - begun:.1f} s", flush=True)
        return 9
    return 0


def main(folder: Path) -> None:
    """Start the ranks, kill the peer when the one that it leaves waiting has ended, and wait for the other."""
    processes = []
    for own in (DIES, SILENT, PEER):  # forked before any device is used: nothing is imported three times
        if not (process := os.fork()):
            with (folder / str(own)).open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            os._exit(rank(own))
        processes.append(process)
    silent = os.waitpid(processes[SILENT], 0)[1]
    os.kill(processes[PEER], signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(processes[DIES], 0)[1]), os.waitstatus_to_exitcode(silent))
    os.waitpid(processes[PEER], 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
