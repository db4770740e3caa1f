"""HCCL's collectives, sends and receives, and what reductions compute. Knows no operator and no process group.

What is launched is done when the call returns, except a send outside a group: it is buffered, so that two processes that both send before
they receive do not wait for ever. A receive outside a group holds up whatever its process launches next, on any stream: a ring in which
everybody receives first needs batch_isend_irecv here, where a device, with a stream for each pair, would manage.

Reductions take the ranks in their order, float16 and bfloat16 in float32 with one rounding at the end: the same bits in every rank and
every run. HCCL promises no order.
"""

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from emulator.communicator import Communicator, Transfer, communicators, device_bytes, exchange, written
from emulator.operator import Int32, Pointer, named

#: HcclDataType. A bool comes as uint8.
_TYPES = {
    0: torch.int8, 1: torch.int16, 2: torch.int32, 3: torch.float16, 4: torch.float32, 5: torch.int64, 6: torch.uint64, 7: torch.uint8,
    8: torch.uint16, 9: torch.uint32, 10: torch.float64, 11: torch.bfloat16, 15: torch.float8_e4m3fn, 16: torch.float8_e5m2,
}  # fmt: skip
#: What an Atlas A2 reduces; torch_npu checks it for most collectives, but not for the V variants.
_REDUCIBLE = (torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.bfloat16)
_SINGLE = "HcclSend/HcclRecv"  # grouped or not
#: HcclReduceOp. An average is a sum, which torch_npu divides.
_REDUCTIONS: dict[int, Callable[[Tensor, Tensor], Any]] = {
    0: lambda total, one: total.add_(one),
    1: lambda total, one: total.mul_(one),
    2: lambda total, one: torch.maximum(total, one, out=total),
    3: lambda total, one: torch.minimum(total, one, out=total),
}


def _type(dtype: int) -> torch.dtype:
    if dtype not in _TYPES:
        raise ValueError(f"HcclDataType {dtype} is not emulated")
    return _TYPES[dtype]


def _memory(address: int, count: int, dtype: int) -> Tensor:
    return device_bytes(address, count * _type(dtype).itemsize)


def _rows(address: int, count: int, dtype: int, size: int) -> Tensor:
    """Return the bytes of a buffer with a part of `count` elements for each rank, a row each."""
    return _memory(address, count * size, dtype).view(size, count * _type(dtype).itemsize)


def _parts(address: int, counts: int, places: int, dtype: int, size: int) -> list[Tensor]:
    """Return the bytes of each rank's part in a buffer that arrays of counts and displacements divide."""
    array, item = ctypes.c_uint64 * size, _type(dtype).itemsize
    divided = zip(array.from_address(counts), array.from_address(places), strict=True)
    return [_memory(address + place * item, count, dtype) for count, place in divided]


def _all_to_all(what: str, communicator: Communicator, sent: Sequence[Tensor], received: Sequence[Tensor]) -> None:
    """Send each rank its part, and receive one from each. Where only one rank sends or receives, the others' lists are empty."""
    both = ((True, sent), (False, received))
    exchange(what, (Transfer(communicator, sends, memory, peer) for sends, parts in both for peer, memory in enumerate(parts)))


def _reduce_into(address: int, count: int, dtype: int, operation: int, rows: Tensor) -> None:
    """Write the reduction of the ranks' data, whose bytes are the rows."""
    kind = _type(dtype)
    if operation not in _REDUCTIONS or kind not in _REDUCIBLE:
        raise ValueError(f"a reduction (HcclReduceOp {operation}) of {kind} is not supported")
    if not count:
        return
    first, *others = rows.view(kind)
    total = first.to(torch.float32 if kind in (torch.float16, torch.bfloat16) else kind, copy=True)
    for one in others:
        _REDUCTIONS[operation](total, one.to(total.dtype))
    memory = _memory(address, count, dtype)
    memory.copy_(total.to(kind).view(torch.uint8))
    written(memory)


@named("HcclAllReduce")
def all_reduce(send: Pointer, recv: Pointer, count: int, dtype: Int32, operation: Int32, comm: Pointer, stream: Pointer) -> None:
    """Each rank gets everything, and reduces for itself."""
    communicator, own = communicators[comm], _memory(send, count, dtype)
    rows = torch.empty(communicator.size, own.numel(), dtype=torch.uint8)
    _all_to_all("HcclAllReduce", communicator, [own] * communicator.size, list(rows))
    _reduce_into(recv, count, dtype, operation, rows)


@named("HcclReduce")
def reduce(send: Pointer, recv: Pointer, count: int, dtype: Int32, operation: Int32, root: Int32, comm: Pointer, stream: Pointer) -> None:
    """The root gets everything, and reduces; the others' output stays as it is."""
    communicator, own = communicators[comm], _memory(send, count, dtype)
    rows = torch.empty(communicator.size if communicator.rank == root else 0, own.numel(), dtype=torch.uint8)
    receives = [Transfer(communicator, False, row, peer) for peer, row in enumerate(rows)]
    exchange("HcclReduce", [Transfer(communicator, True, own, root), *receives])
    if communicator.rank == root:
        _reduce_into(recv, count, dtype, operation, rows)


@named("HcclReduceScatter")
def reduce_scatter(send: Pointer, recv: Pointer, count: int, dtype: Int32, operation: Int32, comm: Pointer, stream: Pointer) -> None:
    """Each rank gets its part of everybody's data, and reduces."""
    communicator = communicators[comm]
    own = _rows(send, count, dtype, communicator.size)
    rows = torch.empty_like(own)
    _all_to_all("HcclReduceScatter", communicator, list(own), list(rows))
    _reduce_into(recv, count, dtype, operation, rows)


@named("HcclReduceScatterV")
def reduce_scatter_v(
    send: Pointer,
    counts: Pointer,
    places: Pointer,
    recv: Pointer,
    count: int,
    dtype: Int32,
    operation: Int32,
    comm: Pointer,
    stream: Pointer,
) -> None:
    """As HcclReduceScatter, in parts of any size."""
    communicator = communicators[comm]
    rows = torch.empty(communicator.size, count * _type(dtype).itemsize, dtype=torch.uint8)
    _all_to_all("HcclReduceScatterV", communicator, _parts(send, counts, places, dtype, communicator.size), list(rows))
    _reduce_into(recv, count, dtype, operation, rows)


@named("HcclBroadcast")
def broadcast(buffer: Pointer, count: int, dtype: Int32, root: Int32, comm: Pointer, stream: Pointer) -> None:
    """The root's data, in every rank."""
    communicator, memory = communicators[comm], _memory(buffer, count, dtype)
    sends = communicator.rank == root
    peers = [peer for peer in range(communicator.size) if peer != root] if sends else [root]
    exchange("HcclBroadcast", [Transfer(communicator, sends, memory, peer) for peer in peers])


@named("HcclScatter")
def scatter(send: Pointer, recv: Pointer, count: int, dtype: Int32, root: Int32, comm: Pointer, stream: Pointer) -> None:
    """A part of the root's data, in each rank."""
    communicator = communicators[comm]
    parts = _rows(send, count, dtype, communicator.size) if communicator.rank == root else ()
    sends = [Transfer(communicator, True, part, peer) for peer, part in enumerate(parts)]
    exchange("HcclScatter", [*sends, Transfer(communicator, False, _memory(recv, count, dtype), root)])


@named("HcclAllGather")
def all_gather(send: Pointer, recv: Pointer, count: int, dtype: Int32, comm: Pointer, stream: Pointer) -> None:
    """The ranks' data, one after the other; the input may be this rank's part of the output."""
    communicator = communicators[comm]
    sent = [_memory(send, count, dtype)] * communicator.size
    _all_to_all("HcclAllGather", communicator, sent, list(_rows(recv, count, dtype, communicator.size)))


@named("HcclAllGatherV")
def all_gather_v(
    send: Pointer, count: int, recv: Pointer, counts: Pointer, places: Pointer, dtype: Int32, comm: Pointer, stream: Pointer
) -> None:
    """As HcclAllGather, in parts of any size."""
    communicator = communicators[comm]
    sent = [_memory(send, count, dtype)] * communicator.size
    _all_to_all("HcclAllGatherV", communicator, sent, _parts(recv, counts, places, dtype, communicator.size))


@named("HcclAlltoAll")
def all_to_all(
    send: Pointer, count: int, dtype: Int32, recv: Pointer, received: int, received_dtype: Int32, comm: Pointer, stream: Pointer
) -> None:
    """A part of each rank's data, in each rank."""
    communicator = communicators[comm]
    sent = _rows(send, count, dtype, communicator.size)
    _all_to_all("HcclAlltoAll", communicator, list(sent), list(_rows(recv, received, received_dtype, communicator.size)))


@named("HcclAlltoAllV")
def all_to_all_v(
    send: Pointer, counts: Pointer, places: Pointer, dtype: Int32,
    recv: Pointer, received: Pointer, received_places: Pointer, received_dtype: Int32, comm: Pointer, stream: Pointer,
) -> None:  # fmt: skip
    """As HcclAlltoAll, in parts of any size."""
    communicator = communicators[comm]
    sent = _parts(send, counts, places, dtype, communicator.size)
    _all_to_all("HcclAlltoAllV", communicator, sent, _parts(recv, received, received_places, received_dtype, communicator.size))


class _Group(threading.local):
    """What is to be sent and received at HcclGroupEnd; a group belongs to the thread that opens it, and may hold others."""

    def __init__(self) -> None:
        self.depth = 0
        self.transfers: list[Transfer] = []


_group = _Group()


@named("HcclGroupStart")
def group_start() -> None:
    """Keep sends and receives back until the group ends; collectives are done where they stand."""
    _group.depth += 1


@named("HcclGroupEnd")
def group_end() -> None:
    """Send and receive everything at once."""
    if not _group.depth:
        raise ValueError("no group is open in this thread")
    _group.depth -= 1
    if _group.depth == 0:
        transfers, _group.transfers = _group.transfers, []
        exchange(_SINGLE, transfers)


@named("HcclSend")
def send(buffer: Pointer, count: int, dtype: Int32, peer: Int32, comm: Pointer, stream: Pointer) -> None:
    """Send a copy, now or when the peer receives."""
    communicator, memory = communicators[comm], _memory(buffer, count, dtype)
    if _group.depth:
        _group.transfers.append(Transfer(communicator, True, memory, peer))
    else:
        communicator.send_buffered(_SINGLE, memory, peer)


@named("HcclRecv")
def recv(buffer: Pointer, count: int, dtype: Int32, peer: Int32, comm: Pointer, stream: Pointer) -> None:
    """Wait for what the peer sends."""
    communicator, memory = communicators[comm], _memory(buffer, count, dtype)
    if _group.depth:
        _group.transfers.append(Transfer(communicator, False, memory, peer))
    else:
        communicator.receive_alone(_SINGLE, memory, peer)


class _Item(ctypes.Structure):
    """HcclSendRecvItem."""

    _fields_ = [
        ("receives", ctypes.c_int32), ("buffer", ctypes.c_void_p), ("count", ctypes.c_uint64), ("dtype", ctypes.c_int32),
        ("peer", ctypes.c_uint32),
    ]  # fmt: skip


@named("HcclBatchSendRecv")
def batch_send_recv(items: Pointer, count: Int32, comm: Pointer, stream: Pointer) -> None:
    """Send and receive a list at once."""
    communicator = communicators[comm]
    listed = (_Item * count).from_address(items)
    memories = [_memory(item.buffer or 0, item.count, item.dtype) for item in listed]
    exchange(_SINGLE, [Transfer(communicator, not item.receives, memory, item.peer) for item, memory in zip(listed, memories, strict=True)])
