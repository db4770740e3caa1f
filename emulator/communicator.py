"""HCCL's communicators: processes of one host that move bytes between each other's devices, by PyTorch's gloo. Knows no collective.

They meet at a TCP store that the process with rank 0 runs; its port travels in HcclRootInfo.
"""

import ctypes
import itertools
import os
import re
import struct
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C._distributed_c10d import HashStore, PrefixStore, ProcessGroupGloo, Store, TCPStore, Work

from emulator.operator import Int32, Pointer, named

_Gloo: Any = ProcessGroupGloo  # its stub knows neither options nor sends
_HOST = "127.0.0.1"
_UINT8 = 4  # ACL_UINT8
_NEVER = timedelta(days=365)
_BUFFERED = 64  # sends of a communicator that may be under way
#: Tags of announcement and data: what is sent by itself never meets what a collective sends.
_ALONE, _TOGETHER = (0, 1), (2, 3)
_ANNOUNCEMENT = struct.Struct("q32s")  # how many bytes, for which collective
_ROOT_INFO_BYTES = 4108  # HCCL_ROOT_INFO_BYTES
_numbers = itertools.count()


class Communicator:
    """One rank's end, made when all ranks have met at `store`. Raises ConnectionError: they do not meet; later, one is gone or silent."""

    def __init__(self, store: Store, rank: int, size: int, name: str, seconds: int | None = None) -> None:
        self.rank, self.size = rank, size
        self.name = name
        self._name = ctypes.create_string_buffer(name.encode()[:127], 128)
        self._patience = _limit("HCCL_EXEC_TIMEOUT", 1836, seconds)
        self._sends: deque[Work] = deque()
        options = _Gloo._Options()
        options._devices = [_device()]
        options._threads = 1  # they do collectives, and only the barrier here is one
        options._timeout = _limit("HCCL_CONNECT_TIMEOUT", 120)
        try:
            self._gloo = _Gloo(store, rank, size, options)
            self._gloo.barrier().wait()  # or the first to leave could take the store away from the others
        except RuntimeError as error:
            raise self._lost(error) from error

    @property
    def handle(self) -> int:
        """The HcclComm: the address of the name, where collectives.c reads it."""
        return ctypes.addressof(self._name)

    def send(self, what: str, memory: Tensor, peer: int, tags: tuple[int, int]) -> list[Work]:
        """Begin to send the bytes of `memory`, announced."""
        announcement = torch.frombuffer(bytearray(_ANNOUNCEMENT.pack(memory.numel(), what.encode())), dtype=torch.uint8)
        parts = [part for part in zip((announcement, memory), tags, strict=True) if part[0].numel()]
        return [self._begin(self._gloo.send, part, peer, tag) for part, tag in parts]

    def listen(self, peer: int, tags: tuple[int, int]) -> tuple[Tensor, Work]:
        """Begin to receive an announcement."""
        announcement = torch.empty(_ANNOUNCEMENT.size, dtype=torch.uint8)
        return announcement, self._begin(self._gloo.recv, announcement, peer, tags[0])

    def receive(self, what: str, memory: Tensor, peer: int, tags: tuple[int, int], announced: tuple[Tensor, Work]) -> list[Work]:
        """Begin to receive what was announced. Raises ValueError: the peer does something else."""
        self.finish(announced[1])
        size, name = _ANNOUNCEMENT.unpack(bytes(announced[0].tolist()))
        theirs = name.rstrip(b"\0").decode()
        if (size, theirs) != (memory.numel(), what):  # HCCL's error EI0005
            there, here = f"rank {peer} sends {size} bytes in {theirs}", f"rank {self.rank} awaits {memory.numel()} in {what}"
            raise ValueError(f"{self.name}: the ranks do not do the same: {there}, {here}")
        return [self._begin(self._gloo.recv, memory, peer, tags[1])] if size else []

    def _begin(self, transfer: Callable[[list[Tensor], int, int], Work], memory: Tensor, peer: int, tag: int) -> Work:
        try:
            return transfer([memory], peer, tag)
        except RuntimeError as error:
            raise self._lost(error) from error

    def finish(self, work: Work) -> None:
        """Wait until a transfer is done."""
        try:
            work.wait(self._patience)
        except RuntimeError as error:
            raise self._lost(error) from error

    def send_buffered(self, what: str, memory: Tensor, peer: int) -> None:
        """Send a copy when the peer receives; waits only where too many sends are under way."""
        self._sends.extend(self.send(what, memory.clone(), peer, _ALONE))
        self.flush(_BUFFERED)

    def receive_alone(self, what: str, memory: Tensor, peer: int) -> None:
        """Wait for what the peer sends by itself."""
        for work in self.receive(what, memory, peer, _ALONE, self.listen(peer, _ALONE)):
            self.finish(work)
        written(memory)

    def flush(self, most: int = 0) -> None:
        """Wait until at most so many sends are under way."""
        while len(self._sends) > most:
            self.finish(self._sends.popleft())

    def _lost(self, error: RuntimeError) -> ConnectionError:
        return ConnectionError(f"rank {self.rank} of {self.size} in {self.name}: a peer is gone or silent: {_reason(error)}")


@cache
def _device() -> ProcessGroupGloo.Device:
    return ProcessGroupGloo.create_device(hostname=_HOST)


class _Communicators(dict[int, Communicator]):
    """Communicators by HcclComm. Raises ValueError: there is none, or not any more."""

    def __missing__(self, handle: int) -> Communicator:
        raise ValueError(f"{handle:#x} is no communicator, or is destroyed")


communicators = _Communicators()


class Transfer(NamedTuple):
    """Bytes that go to a peer, or come from it."""

    communicator: Communicator
    sends: bool
    memory: Tensor
    peer: int


def exchange(what: str, transfers: Iterable[Transfer]) -> None:
    """Do all of them at once, for the collective `what`; what a rank sends to itself is copied."""
    transfers = list(transfers)
    mine = sorted((t for t in transfers if t.peer == t.communicator.rank), key=lambda t: t.communicator.handle)
    sends = [t for t in transfers if t.sends and t.peer != t.communicator.rank]
    receives = [t for t in transfers if not t.sends and t.peer != t.communicator.rank]
    works = [(t.communicator, work) for t in sends for work in t.communicator.send(what, t.memory, t.peer, _TOGETHER)]
    announced = [t.communicator.listen(t.peer, _TOGETHER) for t in receives]
    for source, target in zip([t for t in mine if t.sends], [t for t in mine if not t.sends], strict=True):
        target.memory.copy_(source.memory)
        written(target.memory)
    for t, one in zip(receives, announced, strict=True):
        works += [(t.communicator, work) for work in t.communicator.receive(what, t.memory, t.peer, _TOGETHER, one)]
    for communicator, work in works:
        communicator.finish(work)
    for t in receives:
        written(t.memory)


def _limit(name: str, otherwise: int, seconds: int | None = None) -> timedelta:
    """Return how long to wait: `seconds`, or what HCCL's variable says, or `otherwise`; 0 is for ever."""
    if seconds is None:
        seconds = int(os.environ.get(name) or otherwise)
    return timedelta(seconds=seconds) if seconds > 0 else _NEVER


def _reason(error: Exception) -> str:
    """Return what gloo says, without the place in its source, advice and stack."""
    return re.sub(r"^\[[^]]*\] ", "", str(error).partition("\n")[0]).partition(". ")[0]


@cache
def _runtime() -> Any:
    runtime = ctypes.PyDLL("libascendcl.so")
    runtime.assay_tensor_at.argtypes = [ctypes.c_void_p, ctypes.c_longlong, ctypes.c_int]
    runtime.assay_tensor_at.restype = ctypes.py_object
    runtime.assay_written.argtypes = [ctypes.c_void_p, ctypes.c_longlong]
    return runtime


def device_bytes(address: int, size: int) -> Tensor:
    """Return bytes of device memory: gloo does not know every data type, and moving needs none. Raises ValueError: not allocated."""
    capsule = _runtime().assay_tensor_at(address, size, _UINT8)
    if capsule is None:
        raise ValueError(f"{size} bytes at {address:#x} are no allocated device memory")
    return torch._C._from_dlpack(capsule)


def written(memory: Tensor) -> None:
    """Note that a collective wrote there."""
    _runtime().assay_written(memory.data_ptr(), memory.numel())


class _Config(ctypes.Structure):
    """HcclCommConfig, up to the last field that matters here."""

    _fields_ = [
        ("reserved", ctypes.c_char * 24), ("buffer_size", ctypes.c_uint32), ("deterministic", ctypes.c_uint32),
        ("name", ctypes.c_char * 128), ("udi", ctypes.c_char * 128), ("expansion", ctypes.c_uint32), ("traffic_class", ctypes.c_uint32),
        ("service_level", ctypes.c_uint32), ("world_rank", ctypes.c_uint32), ("job", ctypes.c_uint64), ("zero_copy", ctypes.c_uint8),
        ("exec_timeout", ctypes.c_int32),
    ]  # fmt: skip


@named("HcclGetRootInfo")
def get_root_info(info: Pointer) -> None:
    """Say where the ranks of a new communicator meet."""
    text = f"{_server().port} {next(_numbers)}".encode()
    ctypes.memset(info, 0, _ROOT_INFO_BYTES)
    ctypes.memmove(info, text, len(text))


@cache
def _server() -> TCPStore:
    return TCPStore(_HOST, 0, is_master=True, wait_for_workers=False)


@named("HcclCommInitRootInfo")
def init_root_info(size: Int32, info: Pointer, rank: Int32, out: Pointer) -> None:
    """Meet the other ranks."""
    _init(size, info, rank, out, "", None)


@named("HcclCommInitRootInfoConfig")
def init_root_info_config(size: Int32, info: Pointer, rank: Int32, config: Pointer, out: Pointer) -> None:
    """Meet the other ranks. Of the configuration, name and timeout count: the rest is about how HCCL moves data."""
    wanted = _Config.from_address(config)
    _init(size, info, rank, out, wanted.name.decode(errors="replace"), wanted.exec_timeout if wanted.exec_timeout >= 0 else None)


def _init(size: int, info: int, rank: int, out: int, name: str, seconds: int | None) -> None:
    port, number = ctypes.string_at(info).decode().split()
    try:
        store = TCPStore(_HOST, int(port), is_master=False, timeout=_limit("HCCL_CONNECT_TIMEOUT", 120))
    except RuntimeError as error:
        raise ConnectionError(f"rank 0, to be met at port {port} of this host, is not there: {_reason(error)}") from error
    _hand_over(out, Communicator(PrefixStore(number, store), rank, size, name or f"hccl_{port}_{number}", seconds))


@named("HcclCommInitAll")
def init_all(size: Int32, devices: Pointer, out: Pointer) -> None:
    """Make a communicator between the devices of this process (torch.nn.DataParallel): one end for each."""
    store, name = HashStore(), f"hccl_local_{next(_numbers)}"
    with ThreadPoolExecutor(size) as pool:
        for place, end in enumerate(pool.map(lambda rank: Communicator(store, rank, size, name), range(size))):
            _hand_over(out + ctypes.sizeof(ctypes.c_void_p) * place, end)


def _hand_over(out: int, communicator: Communicator) -> None:
    communicators[communicator.handle] = communicator
    ctypes.c_void_p.from_address(out).value = communicator.handle


@named("HcclCommDestroy")
def destroy(comm: Pointer) -> None:
    """Forget a communicator, after what it has sent is received: torch_npu does this at the end of a process, too."""
    communicators.pop(comm).flush()


@named("HcclSetConfig")
def set_config(option: Int32, value: Int32) -> None:
    """Accept whether to be deterministic: it is."""
