"""Process groups of `hccl` between emulated devices: results, training, and what becomes of a process whose peer is lost."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from emulator.communicator import Communicator, Transfer, exchange
from tests.emulator.distributed import collectives, groups, training

ROOT = Path(__file__).parents[2]
PACKAGE = "tests.emulator.distributed"
CHECKS = [*collectives.CHECKS, *groups.CHECKS, *training.CHECKS]


@pytest.fixture(scope="module")
def report() -> str:
    """Return what two processes print that run every check, on npu:0 and npu:1."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()), "-m", PACKAGE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout + ("" if done.returncode == 0 else done.stderr[-3000:])


def free_port() -> int:
    """Return a port of this host that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("name", CHECKS)
def test_two_processes(report: str, name: str) -> None:
    passed = [line.split()[1] for line in report.splitlines() if line.startswith(f"{name} ") and line.split()[2] == "ok"]
    assert sorted(passed) == ["0", "1"], report


@pytest.fixture(scope="module")
def survivors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Return exit code and output of the process whose peer died, and of the one whose peer fell silent."""
    folder = tmp_path_factory.mktemp("survivors")
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-m", f"{PACKAGE}.failures", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=True)
    codes = [int(code) for code in done.stdout.split()[-2:]]
    return {name: (code, (folder / str(rank)).read_text()) for rank, (name, code) in enumerate(zip(("dies", "silent"), codes, strict=True))}


def test_error_names_collective_when_peer_dies(survivors: dict[str, tuple[int, str]]) -> None:
    code, output = survivors["dies"]
    assert code == 9, output
    assert "HcclAllReduce: ConnectionError: rank 0 of 2" in output
    assert "a peer is gone or silent: Connection closed by peer" in output


def test_process_ends_at_timeout_of_group_when_peer_is_silent(survivors: dict[str, tuple[int, str]]) -> None:
    code, output = survivors["silent"]
    assert code == -signal.SIGABRT, output
    assert "Watchdog caught collective operation timeout: WorkHCCL(SeqNum=2, OpType=ALLREDUCE" in output


def test_one_process_broadcasts_between_its_devices() -> None:
    given = torch.arange(5.0)
    here, there = torch.nn.parallel.comm.broadcast(given.npu(), [0, 1])
    assert (here.device.index, there.device.index) == (0, 1)
    torch.testing.assert_close(there.cpu(), given)


def between(one: Callable[[Communicator], object], other: Callable[[Communicator], object], seconds: int = 5) -> list[object]:
    """Return what the two ends of a communicator return, or raise; each runs in a thread of its own."""
    store, results = dist.HashStore(), [None, None]

    def run(rank: int, function: Callable[[Communicator], object]) -> None:
        try:
            results[rank] = function(Communicator(store, rank, 2, "pair", seconds))
        except (ConnectionError, ValueError) as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate((one, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_silent_peer_is_given_up_after_hccl_timeout() -> None:
    held = threading.Event()

    def receive(end: Communicator) -> None:
        try:
            end.receive_alone("HcclRecv", torch.empty(4, dtype=torch.uint8), 1)
        finally:
            held.set()

    error, _ = between(receive, lambda end: (held.wait(30), end), seconds=1)
    assert isinstance(error, ConnectionError)
    assert str(error).startswith("rank 0 of 2 in pair: a peer is gone or silent: Timed out waiting 1000ms")


@pytest.mark.parametrize(("what", "size"), [("HcclReduce", 4), ("HcclBroadcast", 8)])
def test_ranks_that_do_not_do_the_same_are_told(what: str, size: int) -> None:
    def transfer(what: str, sends: bool, size: int) -> Callable[[Communicator], None]:
        return lambda end: exchange(what, [Transfer(end, sends, torch.zeros(size, dtype=torch.uint8), 1 - end.rank)])

    _, error = between(transfer(what, True, size), transfer("HcclBroadcast", False, 4), seconds=1)
    assert isinstance(error, ValueError)
    assert f"rank 0 sends {size} bytes in {what}, rank 1 awaits 4 in HcclBroadcast" in str(error)


def test_more_sends_than_are_buffered_arrive_in_order() -> None:
    def send(end: Communicator) -> None:
        for number in range(100):
            end.send_buffered("HcclSend", torch.full((3,), number, dtype=torch.uint8), 1)
        end.flush()

    def receive(end: Communicator) -> list[int]:
        memory = torch.zeros(3, dtype=torch.uint8)
        return [end.receive_alone("HcclSend", memory, 0) or int(memory[0]) for _ in range(100)]

    assert between(send, receive)[1] == list(range(100))
