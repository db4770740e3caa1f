import pytest
import torch
import torch_npu

from emulator.ops import scatter
from tests.emulator.agree import agree

G = torch.Generator().manual_seed(5)
X, SOURCE = torch.randn(4, 5, 6, generator=G), torch.randn(4, 7, 6, generator=G)
TWICE = torch.randint(5, (4, 7, 6), generator=G)
ONCE = torch.stack([torch.randperm(5, generator=G) for _ in range(4)])[:, :, None].expand(4, 5, 6)
ROWS = torch.tensor([1, 1, 4, 0, 1, 2, 4])


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (torch.scatter, (X, 1, ONCE, SOURCE)),
        (torch.scatter, (X, 1, ONCE, 2.5)),
        (torch.scatter, (X.bool(), 1, ONCE, True)),
        (lambda x, i, s: x.clone().scatter_(1, i, s), (X, ONCE, SOURCE)),
        (lambda x, i: x.clone().scatter_(1, i, 2.5), (X, ONCE)),
        (torch.scatter_add, (X, 1, TWICE, SOURCE)),
        (torch.scatter_add, (X.half(), 1, TWICE, SOURCE.half())),
        (lambda x, i, s: torch.scatter_add(x.mT, 2, i.mT, s.mT), (X, TWICE, SOURCE)),
        (torch.index_add, (X, 1, ROWS, SOURCE)),
        (lambda x, i, s: torch.index_add(x, 1, i, s, alpha=-2), (X, ROWS, SOURCE)),
        (lambda x, i, s: x.clone().index_add_(1, i, s), (X, ROWS, SOURCE)),
    ],
)
def test_equal_to_the_cpu(call, arguments):
    agree(call, *arguments)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "amax", "amin", "mean"])
def test_scatter_reduce(reduce, include_self):
    def reduced(x, index, source):
        out = torch.empty_like(x)
        return torch.scatter_reduce(x, 1, index, source, reduce, include_self=include_self, out=out)

    agree(reduced, X, TWICE, SOURCE)


@pytest.mark.parametrize(("reduction", "reduce"), [(1, "sum"), (2, "prod")])
def test_scatter_with_a_reduction(reduction, reduce):
    """torch_npu 2.13 registers no kernel for torch's deprecated `reduce` of scatter, so that these are called here only."""
    assert scatter.Scatter(X, 1, TWICE, SOURCE, reduction, X).equal(torch.scatter_reduce(X, 1, TWICE, SOURCE, reduce))
    value = torch.full_like(SOURCE, 2.5)
    assert scatter.InplaceScatterValue(X.clone(), 1, TWICE, 2.5, reduction).equal(torch.scatter_reduce(X, 1, TWICE, value, reduce))


def test_scatter_reduce_in_place():
    agree(lambda x, i, s: x.clone().scatter_reduce_(1, i, s, "sum"), X, TWICE, SOURCE)


def test_scatter_nd_update_puts_slices():
    indices, updates = torch.tensor([[0, 4], [3, 1], [2, 2]], dtype=torch.int32), SOURCE[0, :3]
    expected = X.clone()
    for (i, j), row in zip(indices.tolist(), updates, strict=True):
        expected[i, j] = row
    assert torch_npu.npu_scatter_nd_update(X.npu(), indices.npu(), updates.npu()).cpu().equal(expected)
    target = X.npu()
    assert torch_npu.npu_scatter_nd_update_(target, indices.npu(), updates.npu()) is target
    assert target.cpu().equal(expected)


@pytest.mark.parametrize("axis", [-2, 1])
def test_scatter_update_puts_a_block_by_batch(axis):
    offsets, updates = torch.tensor([3, 0, 1, 2]), SOURCE[:, :2]
    expected = X.clone()
    for batch, offset in enumerate(offsets.tolist()):
        expected[batch, offset : offset + 2] = updates[batch]
    assert torch_npu.scatter_update(X.npu(), offsets.npu(), updates.npu(), axis).cpu().equal(expected)


@pytest.mark.parametrize(
    ("indices", "mask", "written"),
    [
        (torch.tensor([3, 0, 1, 2]), None, [(3, 2), (0, 2), (1, 2), (2, 2)]),
        (torch.tensor([3, 0, 1, 2]), torch.tensor([1, 0, 0, 1], dtype=torch.uint8), [(3, 2), None, None, (2, 2)]),
        (torch.tensor([[3, 1], [0, 2], [1, 0], [2, 2]]), None, [(3, 1), (0, 2), (1, 0), (2, 2)]),
    ],
)
def test_scatter_list(indices, mask, written):
    updates, expected = SOURCE[:, :2], X.clone()
    for place, at in enumerate(written):
        if at:
            expected[place, at[0] : at[0] + at[1]] = updates[place, : at[1]]
    given = None if mask is None else mask.npu()
    found = torch.ops.npu.npu_scatter_list(list(X.npu()), indices.npu(), updates.npu(), given)
    assert torch.stack(found).cpu().equal(expected)


def test_index_add_of_torch_npu_refuses_an_alpha_that_devices_leave_out():
    rows = SOURCE[:, 0].contiguous()
    index = torch.tensor([0, 3, 0, 1])
    found = torch.ops.npu._npu_index_add(X[:, 0].npu(), index.npu(), rows.npu())
    assert found.cpu().equal(torch.index_add(X[:, 0], 0, index, rows))
    with pytest.raises(ValueError, match="ignore alpha"):
        scatter.IndexAddV2(X[:, 0], 0, index, rows, 2.0, 0, X[:, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_coalescing_sums_values_of_equal_indices(dtype):
    indices, values = torch.tensor([[2, 0, 2, 1], [1, 3, 1, 0]]), torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=dtype)
    found = torch.sparse_coo_tensor(indices.npu(), values.npu(), (3, 4), check_invariants=False).coalesce()
    expected = torch.sparse_coo_tensor(indices, values, (3, 4), check_invariants=False).coalesce()
    assert found.indices().cpu().equal(expected.indices())
    assert found.values().cpu().equal(expected.values())
