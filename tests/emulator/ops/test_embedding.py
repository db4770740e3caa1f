import pytest
import torch
from torch.nn import functional as F

from tests.emulator.agree import agree

G = torch.Generator().manual_seed(3)
TABLE = torch.randn(10, 4, generator=G)
INDICES = torch.tensor([[1, 7, 7], [9, 1, 0]])
OFFSETS = torch.tensor([0, 2, 2, 5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("indices", [INDICES, INDICES.int(), INDICES[0, 0], INDICES[:0]])
def test_rows(dtype, indices):
    agree(lambda table, at: F.embedding(at, table), TABLE.to(dtype), indices)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("padding_idx", "by_frequency"), [(None, False), (1, False), (None, True)])
def test_gradient_sums_over_equal_indices(dtype, padding_idx, by_frequency):
    def gradient(table, at):
        table = table.clone().requires_grad_()
        rows = F.embedding(at, table, padding_idx=padding_idx, scale_grad_by_freq=by_frequency)
        (rows * torch.linspace(0, 1, rows.numel(), device=rows.device).view(rows.shape)).sum().backward()
        return table.grad

    agree(gradient, TABLE.to(dtype), INDICES)


@pytest.mark.parametrize(("max_norm", "norm_type"), [(1.0, 2.0), (0.5, 1.0)])
def test_renormalisation_in_place(max_norm, norm_type):
    def renormalised(table, at):
        table = table.clone()
        return F.embedding(at, table, max_norm=max_norm, norm_type=norm_type), table

    agree(renormalised, TABLE, INDICES)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize(("padding_idx", "include_last"), [(None, False), (7, False), (None, True), (7, True)])
def test_bags(mode, padding_idx, include_last):
    agree(
        lambda table, at, offsets: F.embedding_bag(
            at, table, offsets, mode=mode, padding_idx=padding_idx, include_last_offset=include_last
        ),
        TABLE,
        INDICES.reshape(-1),
        torch.cat([OFFSETS, torch.tensor([6])]) if include_last else OFFSETS,
    )


def test_weighted_bags():
    agree(
        lambda table, at, weights: F.embedding_bag(at, table, mode="sum", per_sample_weights=weights),
        TABLE,
        INDICES,
        torch.linspace(0, 1, 6).view(2, 3),
    )
