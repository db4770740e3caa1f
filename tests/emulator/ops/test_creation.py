import pytest
import torch

from tests.emulator.agree import agree, same


@pytest.mark.parametrize(
    "call",
    [
        lambda device: torch.arange(5, device=device),
        lambda device: torch.arange(3, 20, 2, device=device),
        lambda device: torch.arange(0, 1, 0.1, device=device),
        lambda device: torch.arange(9, -4, -3, device=device, dtype=torch.int32),
        lambda device: torch.arange(7, device=device, dtype=torch.bfloat16),
        lambda device: torch.arange(2**40, 2**40 + 3, device=device),
        lambda device: torch.arange(0, device=device),
        lambda device: torch.linspace(-1, 2, 9, device=device),
        lambda device: torch.linspace(0, 1, 1, device=device),
        lambda device: torch.linspace(0, 1, 5, device=device, dtype=torch.float16),
        lambda device: torch.logspace(0, 2, 7, device=device),
        lambda device: torch.logspace(0, 4, 5, base=2.0, device=device),
        lambda device: torch.eye(3, device=device),
        lambda device: torch.eye(3, 5, device=device, dtype=torch.int64),
    ],
)
def test_equal_to_the_cpu(call):
    same(call("npu"), call("cpu"))


@pytest.mark.filterwarnings("ignore:torch.range is deprecated")
@pytest.mark.parametrize(("start", "end", "step"), [(0, 9, 2), (0, 1, 0.25), (3, -3, -1.5)])
def test_range_includes_its_end(start, end, step):
    assert agree(lambda x: torch.range(start, end, step, device=x.device), torch.zeros(1)).numel() > 3
