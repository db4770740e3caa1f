import pytest
import torch

from emulator.ops import indexing
from tests.emulator.agree import agree

X = torch.arange(120.0).view(4, 5, 6) - 60
ROWS = torch.tensor([3, 0, -1])
PLACES = torch.tensor([[[0, 4, 1, 1, 2, 3]]] * 4)


def put(x, index, values, accumulate=False):
    return x.clone().index_put_(index, values, accumulate)


def set_(x, index, values):
    x = x.clone()
    x[index] = values
    return x


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (lambda x, i: x[i], (X, ROWS)),
        (lambda x, i: x[:, i], (X, ROWS)),
        (lambda x, i: x[i, :, i], (X, ROWS)),
        (lambda x, i: x[i[:, None], i], (X, ROWS)),
        (lambda x, i: x.mT[i, ..., 1], (X, ROWS)),
        (lambda x, i: x[i[:0]], (X, ROWS)),
        (lambda x, i: x[i[:0], 1], (X.long(), ROWS)),
        (lambda x, mask: x[mask], (X, X > 3)),
        (lambda x, mask: x[mask], (X, torch.tensor([True, False, True, True]))),
        (lambda x, mask: x[:, mask], (X, torch.tensor([False] * 5))),
        (put, (X, (ROWS,), -X[:3])),
        (put, (X, (ROWS, ROWS), torch.tensor(2.5))),
        (put, (X, (torch.tensor([1, 1, 1]),), X[:3], True)),
        (set_, (X, ROWS, 7.0)),
        (set_, (X, X > 3, 7.0)),
        (set_, (X, torch.tensor([True, False, True, True]), X[:3])),
        (set_, (X, ROWS[:0], 7.0)),
        (set_, (X.long(), ROWS[:0], 7)),
        (torch.index_select, (X, 1, torch.tensor([4, 4, 0]))),
        (lambda x, i: torch.index_select(x.mT, 1, i), (X, torch.tensor([4, 4, 0], dtype=torch.int32))),
        (torch.gather, (X, 1, PLACES)),
        (torch.gather, (X, 1, PLACES[:, :0])),
        (torch.take_along_dim, (X, PLACES, 1)),
        (torch.take, (X, torch.tensor([[0, 119], [-1, 7]]))),
        (torch.index_copy, (X, 1, torch.tensor([0, 3]), -X[:, :2])),
        (lambda x, i, s: x.clone().index_copy_(1, i, s), (X, torch.tensor([0, 3]), -X[:, :2])),
        (torch.index_fill, (X, 1, torch.tensor([0, 3]), 2.5)),
        (torch.index_fill, (X, 1, torch.tensor([0, 3]), torch.tensor(2.5))),
        (lambda x, i: x.clone().index_fill_(1, i, 2.5), (X, torch.tensor([0, 3]))),
        (torch.masked_scatter, (X, X > 3, -X)),
        (lambda x, m, s: x.clone().masked_scatter_(m, s), (X, X > 3, -X)),
        (lambda x, i, s: x.clone().put_(i, s), (X, torch.tensor([1, -2]), X[0, 0, :2])),
        (lambda x, i, s: x.clone().put_(i, s, accumulate=True), (X, torch.tensor([1, 1]), X[0, 0, :2])),
    ],
)
def test_equal_to_the_cpu(call, arguments):
    agree(call, *arguments)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (torch.nonzero, (X > 3,)),
        (lambda x: torch.nonzero(x.mT), (X,)),
        (torch.nonzero, (torch.zeros(3, 0),)),
        (torch.nonzero, (torch.tensor(1.0),)),
        (lambda x: torch.nonzero(x, as_tuple=True), (X,)),
        (torch.where, (X > 3,)),
        (torch.argwhere, (X > 200,)),
        (torch.masked_select, (X, X > 3)),
        (torch.masked_select, (X, torch.tensor([True, False] * 3))),
        (torch.masked_select, (X, X > 200)),
    ],
)
def test_results_of_a_size_that_their_values_tell(call, arguments):
    agree(call, *arguments)


def test_into_a_given_tensor():
    agree(lambda x: torch.nonzero(x > 57, out=torch.empty(0, dtype=torch.int64, device=x.device)), X)


def test_gather_sparse_index():
    rows = torch.tensor([[0, 2], [1, 1]])
    moved = torch.ops.npu.npu_gather_sparse_index(X.npu(), rows.npu())
    assert moved.cpu().equal(X[rows])


def test_index_fill_by_numbers_of_the_host():
    out = torch.empty_like(X)
    assert indexing.IndexFillTensor(X, 1, (0, 3), 2.5, out).equal(torch.index_fill(X, 1, torch.tensor([0, 3]), 2.5))
    assert indexing.InplaceIndexFillTensor(X, 1, (), 2.5).equal(X)


def test_put_where_deterministic_algorithms_are_demanded():
    places, values = torch.tensor([1, -2]), torch.tensor([7.0, 8.0])
    expected = X.clone().put_(places, values)
    torch.use_deterministic_algorithms(True)
    try:
        found = X.npu().put_(places.npu(), values.npu()).cpu()
    finally:
        torch.use_deterministic_algorithms(False)
    assert found.equal(expected)


def test_put_out_of_range_is_refused():
    with pytest.raises(RuntimeError, match="out of range for 120 elements"):
        X.npu().put_(torch.tensor([120]).npu(), torch.tensor([7.0]).npu()).cpu()
