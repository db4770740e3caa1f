import pytest
import torch
import torch_npu

from tests.emulator.agree import on_npu

G = torch.Generator().manual_seed(1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("rows", "inner", "columns"), [(256, 512, 300), (33, 100, 67), (7, 64, 9)])
@pytest.mark.parametrize("mean", [0.0, 2.0])
def test_a_right_product_passes_and_a_wrong_element_is_found(dtype, rows, inner, columns, mean):
    a = (torch.randn(rows, inner, generator=G) + mean).to(dtype)
    b = (torch.randn(inner, columns, generator=G) + mean).to(dtype)
    c = torch.mm(a, b)
    assert not torch_npu.matmul_checksum(*on_npu((a, b, c))).item()
    largest = c.abs().argmax()
    c.view(-1)[largest] *= 4
    assert torch_npu.matmul_checksum(*on_npu((a, b, c))).item()


def test_bits_name_the_row_and_the_segment():
    a, b = torch.eye(10), torch.ones(10, 300)
    c = torch.mm(a, b)
    c[9, 280] = 7
    found = torch.ops.npu._npu_matmul_abft_verify(*on_npu((a, b, c, torch.ones(300))), e_max=2e-5)
    assert found.tolist() == [255, 255, 255, 255 - 2]


def test_what_is_not_a_number_is_wrong():
    a, b = torch.eye(8), torch.ones(8, 8)
    found = torch.ops.npu._npu_matmul_abft_verify(*on_npu((a, b, torch.full((8, 8), torch.nan), torch.ones(8))), e_max=2e-5)
    assert found.tolist() == [0]
