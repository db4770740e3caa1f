"""The runtime: devices, memory and its end, copies, streams, events. In processes of their own where the environment matters."""

import os
import re
import subprocess
import sys

import pytest
import torch


def python(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh process of the emulator with these variables."""
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, **variables}, check=False, timeout=120
    )


def test_there_are_two_devices_unless_more_are_asked_for() -> None:
    script = "import torch; print(torch.npu.device_count(), torch.ones(1, device='npu:2').device)"
    assert torch.npu.device_count() == 2
    assert python(script, ASSAY_EMULATOR_DEVICES="3").stdout == "3 npu:2\n"


def test_lack_of_memory_is_torch_npus_own_error() -> None:
    script = """
import torch
try:
    torch.empty(200 << 20, dtype=torch.uint8, device="npu")
except torch.OutOfMemoryError as error:
    print(error)
print(torch.empty(20 << 20, dtype=torch.uint8, device="npu").numel())
"""
    done = python(script, ASSAY_EMULATOR_MEMORY="100M")
    assert re.match(r"NPU out of memory. Tried to allocate 20\d.00 MiB \(NPU 0; 100.00 MiB total capacity; ", done.stdout)
    assert done.stdout.endswith(f"{20 << 20}\n")  # and what fits still fits


def test_memory_that_is_no_size_is_one_line() -> None:
    done = python("import torch; torch.ones(1).npu()", ASSAY_EMULATOR_MEMORY="lots")
    assert done.returncode == 2
    assert "ASSAY_EMULATOR_MEMORY=lots is no size" in done.stderr


def test_the_allocators_figures_are_those_of_the_tensors() -> None:
    torch.npu.synchronize()
    before = torch.npu.memory_allocated()
    held = torch.empty(3 << 20, dtype=torch.uint8, device="npu")
    assert torch.npu.memory_allocated() - before == 3 << 20 | 512 or torch.npu.memory_allocated() - before >= 3 << 20
    del held
    assert torch.npu.memory_allocated() == before


def test_freed_memory_is_free_again() -> None:
    torch.npu.empty_cache()
    before, total = torch.npu.mem_get_info()
    held = torch.empty(64 << 20, dtype=torch.uint8, device="npu")
    assert before - torch.npu.mem_get_info()[0] >= 64 << 20
    del held
    torch.npu.empty_cache()
    assert torch.npu.mem_get_info() == (before, total)


def test_expandable_segments_work() -> None:
    script = "import torch; x = torch.randn(1 << 20); print(torch.equal((x.npu() + x.npu()).cpu(), x + x))"
    assert python(script, PYTORCH_NPU_ALLOC_CONF="expandable_segments:True").stdout == "True\n"


@pytest.mark.parametrize("queue", ["0", "1", "2"])
def test_every_launch_mode_computes(queue: str) -> None:
    script = "import torch; x = torch.randn(64, 64); y = x.npu(); print(torch.equal(((y @ y) * 2 + 1).cpu(), (x @ x) * 2 + 1))"
    assert python(script, TASK_QUEUE_ENABLE=queue).stdout == "True\n"


@pytest.mark.parametrize("pinned", [False, True])
def test_copies_that_do_not_block(pinned: bool) -> None:
    host = torch.randn(1 << 16)
    sent = (host.pin_memory() if pinned else host).to("npu", non_blocking=True)
    back = torch.empty_like(host, pin_memory=pinned)
    back.copy_(sent, non_blocking=True)
    torch.npu.synchronize()
    assert torch.equal(back, host)


def test_copies_between_devices() -> None:
    x = torch.randn(1000)
    assert torch.equal(x.to("npu:0").to("npu:1").cpu(), x)


def test_streams_wait_for_events() -> None:
    x = torch.randn(100)
    stream, event = torch.npu.Stream(), torch.npu.Event()
    doubled = x.npu() * 2
    event.record()
    with torch.npu.stream(stream):
        stream.wait_event(event)
        tripled = doubled * 1.5
    stream.synchronize()
    assert stream.query()
    assert torch.equal(tripled.cpu(), x * 2 * 1.5)


def test_events_measure_time() -> None:
    start, end = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
    x = torch.randn(400, 400).npu()
    start.record()
    for _ in range(10):
        x = x @ x * 1e-3
    end.record()
    torch.npu.synchronize()
    assert 0 < start.elapsed_time(end) < 60_000


def test_the_end_of_a_process_does_not_wait_for_ever() -> None:
    script = "import torch\nx = torch.randn(200, 200).npu()\nfor _ in range(200): x = x @ x"  # left in the queue when Python ends
    assert python(script).returncode == 0


def test_waiting_with_pythons_lock_held_does_not_hang() -> None:
    script = (
        "import torch, torch_npu\nx = torch.randn(300, 300).npu()\nfor _ in range(100): x = x @ x\ntorch_npu._C._npu_shutdown_synchronize()"
    )
    assert python(script).returncode == 0
