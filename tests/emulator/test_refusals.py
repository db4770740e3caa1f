"""Never a silent no-op, never a silent fall-back: what is not emulated, or fails, is an error that names the operator."""

import os
import subprocess
import sys

import pytest

_PRELUDE = """
import torch
from emulator import bridge
register = bridge.library().assay_register
import ctypes
register.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.py_object]
x = torch.ones(4).npu()
torch.npu.synchronize()
"""


def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PRELUDE + script], capture_output=True, text=True, env={**os.environ, **variables}, check=False, timeout=120
    )


@pytest.mark.parametrize("queue", ["0", "1", "2"])
def test_an_operator_that_is_not_emulated_is_named(queue: str) -> None:
    script = """
bridge.library().assay_forget(b"aclnnErf")
try:
    y = torch.erf(x)
    print(y.cpu())
except RuntimeError as error:
    print(error)
print((x + 1).cpu().tolist(), bridge.counters()["refused"])
"""
    done = run(script, TASK_QUEUE_ENABLE=queue)
    assert "operator aclnnErf is not emulated" in done.stdout, done.stderr
    assert done.stdout.endswith("[2.0, 2.0, 2.0, 2.0] ['aclnnErf']\n")  # and what is emulated goes on


@pytest.mark.parametrize("queue", ["0", "1", "2"])
def test_an_operator_that_fails_is_named_and_nothing_of_it_is_read(queue: str) -> None:
    script = """
try:
    print((torch.ones(2, 2, dtype=torch.float64).npu() @ torch.ones(2, 2, dtype=torch.float64).npu()).cpu())
except RuntimeError as error:
    print(error)
print((x + 1).cpu().tolist())
"""
    done = run(script, TASK_QUEUE_ENABLE=queue)
    assert "operator aclnnMatmul: RuntimeError: self not implemented for DT_DOUBLE" in done.stdout, done.stderr
    assert done.stdout.endswith("[2.0, 2.0, 2.0, 2.0]\n")


def test_a_failure_is_told_to_whoever_waits() -> None:
    script = """
y = torch.ones(2, 2, dtype=torch.float64).npu() @ torch.ones(2, 2, dtype=torch.float64).npu()
z = y + 1  # nothing may be made of what was never computed
try:
    torch.npu.synchronize()
except RuntimeError as error:
    print(error)
print(bridge.counters()["calls"].get("aclnnAdd", 0) + bridge.counters()["calls"].get("aclnnAdds", 0))
"""
    done = run(script)
    assert "operator aclnnMatmul" in done.stdout, done.stderr
    assert done.stdout.endswith("\n0\n")


@pytest.mark.parametrize("letters", ["tto", "ttsso", "tsso"])
def test_a_wrong_signature_is_noticed(letters: str) -> None:
    script = f"""
register(b"aclnnAdd", b"{letters}", lambda *arguments: None)
try:
    print((x + x).cpu())
except RuntimeError as error:
    print(error)
"""
    assert "than the emulator declares" in (out := run(script).stdout) or "is not what the emulator declares" in out


def test_a_graph_operator_is_refused_by_name() -> None:
    script = """
import torch_npu
torch.npu.config.allow_internal_format = True
try:
    print(torch_npu.npu_format_cast(torch.ones(32, 32).npu(), 29).cpu())
except RuntimeError as error:
    print(error)
"""
    assert "is not emulated" in run(script).stdout


def test_an_operator_that_ascend_lacks_does_not_run_on_the_cpu() -> None:
    done = run("torch.lgamma(x)", TORCH_NPU_FALLBACK_CPU_DISABLE="1")
    assert "CPU fallback is disabled" in done.stderr


def test_memory_that_nobody_wrote_is_counted_when_it_is_read() -> None:
    script = """
y = torch.empty(1000, device="npu").cpu()
z = (x + 1).cpu()
counted = bridge.counters()
print(counted["copies_out_unwritten"], counted["copies_out_of_operators"])
"""
    assert run(script, PYTORCH_NO_NPU_MEMORY_CACHING="1").stdout == "1 1\n"
