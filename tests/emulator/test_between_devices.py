"""Copies from one emulated NPU to another: any layout arrives as it was.

What is not contiguous still goes through graph operators in torch_npu, which cann/rearranging.c has."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch_npu
from torch import Tensor

from tests.emulator.reached import reached

X = torch.arange(4 * 6 * 8).reshape(4, 6, 8)
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "part": lambda x: x[:, 1:],
    "every second": lambda x: x[:, ::2],
    "transposed": lambda x: x.transpose(1, 2),
    "permuted": lambda x: x.permute(2, 0, 1),
    "permuted part": lambda x: x.transpose(1, 2)[:, 1:3, ::2],
    "expanded": lambda x: x[:, :1].expand(4, 6, 8),
    "expanded part": lambda x: x[:, 1:2, 2:5].expand(4, 6, 3),
    "column": lambda x: x[:, :, 3],
    "row": lambda x: x[1],
    "windows": lambda x: x.unfold(1, 3, 1),
    "diagonal": lambda x: x[0].diagonal(),
    "strided": lambda x: x.as_strided((3, 3), (5, 2), 1),
    "one element": lambda x: x[1, 2, 3],
    "nothing": lambda x: x[:, 6:],
}
# said once of a view that does not begin with its storage; the copy's result is right here
pytestmark = pytest.mark.filterwarnings(r"ignore:.*\[Check\]\[offset\] Check input storage_offset:UserWarning")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool], ids=str)
@pytest.mark.parametrize("view", VIEWS)
def test_copy(view: str, dtype: torch.dtype) -> None:
    whole = X.to(dtype)
    expected = VIEWS[view](whole)
    with reached():
        source = VIEWS[view](whole.npu())
        target = source.to("npu:1")
        inside = torch.zeros(*expected.shape, 2, dtype=dtype, device="npu:1")
        inside[..., 0].copy_(source)
    assert target.device.index == 1
    assert torch.equal(target.cpu(), expected)
    assert torch.equal(inside[..., 0].cpu(), expected)
    assert not inside[..., 1].any()


@pytest.mark.xfail(strict=True, reason="torch_npu 2.13.0: its npu_stride_copy_out puts a new tensor in the target's place")
def test_copy_of_a_wide_column() -> None:
    """Where the last stride is 256 or more, the target becomes a tensor on the source's device; what it was a view of stays as it was."""
    column = torch.randn(5, 256).npu()[:, 3]
    assert column.to("npu:1").device.index == 1


def test_what_is_no_copy_is_refused() -> None:
    with pytest.raises(RuntimeError, match="StridedSlice is emulated for copies only"):
        torch_npu.npu_indexing(X.npu(), [1, 1, 1], [3, 3, 3], [1, 1, 1], begin_mask=1).cpu()
    with pytest.raises(RuntimeError, match="AsStrided is emulated for copies only"):
        torch_npu.npu_stride_copy(X.npu(), [200, 300], [1, 2], 0).cpu()


def test_model_on_two_devices() -> None:
    """A chain of two layers with its gradient, as accelerate's device map places them."""
    torch.manual_seed(0)
    first, second, x = torch.nn.Linear(8, 6), torch.nn.Linear(6, 4), torch.randn(3, 5, 8)
    second(first(x)[:, 1:].transpose(0, 1)).square().sum().backward()
    expected = [weight.grad for weight in (*first.parameters(), *second.parameters())]
    first.zero_grad()
    second.zero_grad()
    with reached():
        first.to("npu:0"), second.to("npu:1")
        second(first(x.npu())[:, 1:].transpose(0, 1).to("npu:1")).square().sum().backward()
    found = [weight.grad.cpu() for weight in (*first.parameters(), *second.parameters())]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("queue", ["0", "1", "2"])
def test_after_a_failed_copy_both_devices_go_on(queue: str) -> None:
    """torch_npu may call HcclSetConfig in a queue whose last operator failed; an error there ends the queue, and then nothing runs."""
    script = """
import torch
x = torch.randn(6, 7)
a = x.to("npu:1")
for view in (x.npu()[:, 1:], x.npu().t()):
    try:
        print(view.to("npu:1", torch.bfloat16).cpu())
    except RuntimeError as error:
        print("Cast is not emulated" in str(error))
for _ in range(3):
    print(torch.equal((a + 1).cpu(), x + 1), torch.equal((x.npu() + 1).to("npu:1").cpu(), x + 1))
"""
    variables = {**os.environ, "TASK_QUEUE_ENABLE": queue}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables, check=False, timeout=120)
    assert done.stdout.split() == ["True"] * 8, done.stderr
