"""Of the graph operators only those that rearrange are here; the failure of another stops neither torch_npu's queue nor what follows."""

import pytest
import torch
import torch_npu


@pytest.mark.parametrize("format_number", [0, 2, 3, 29], ids=["NCHW", "ND", "NC1HWC0", "NZ"])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4, 5), (0, 4)], ids=str)
def test_casting_the_format_keeps_the_values(shape: tuple[int, ...], format_number: int) -> None:
    x = torch.randn(shape)
    cast = torch_npu.npu_format_cast(x.npu(), format_number)
    assert torch.equal(cast.cpu(), x)
    assert torch.equal((cast + 1).cpu(), x + 1)


def test_after_a_failed_graph_operator_the_device_goes_on() -> None:
    x = torch.ones(2, 4).npu()
    with pytest.raises(RuntimeError, match=r"graph operator .* is not emulated"):
        torch_npu.npu_bounding_box_decode(x, x, 0, 0, 0, 0, 1, 1, 1, 1, (10, 20), 0.1).cpu()
    assert (x + 1).cpu().tolist() == [[2.0] * 4] * 2
