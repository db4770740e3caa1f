"""Distances between rows: the same bits as on the CPU."""

import pytest
import torch

from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(3, 5, 6, generator=G), torch.randn(3, 4, 6, generator=G)


@pytest.mark.parametrize("order", [0.0, 1.0, 2.0, 3.0, torch.inf])
def test_as_on_the_cpu(order):
    agree(lambda x, y: torch.cdist(x, y, order), X, Y)
    agree(lambda x: torch.pdist(x[0], order), X)


def test_many_rows_are_compared_by_differences_not_by_a_product():
    x, y = torch.randn(40, 6, generator=G), torch.randn(30, 6, generator=G)
    agree(lambda x, y: torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist"), x, y)
    found = torch.cdist(x.npu(), y.npu()).cpu()
    assert found.equal(torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist"))


def test_gradient():
    """Of an order above 2; torch_npu computes that of others with an operator of the older kind."""
    agree(with_gradients(lambda x, y: torch.cdist(x, y, 3.0)), X, Y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_of_16_bits_is_taken_in_32(dtype):
    x, y = X.to(dtype), Y.to(dtype)
    assert torch.cdist(x.npu(), y.npu()).cpu().equal(torch.cdist(x.float(), y.float()).to(dtype))
