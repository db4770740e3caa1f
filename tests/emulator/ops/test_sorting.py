import pytest
import torch

from emulator.ops import sorting
from tests.emulator.agree import agree

G = torch.Generator().manual_seed(3)
X = torch.randn(4, 9, 6, generator=G)
TIES = torch.randint(4, (5, 30), generator=G)
EDGES = torch.tensor([-1.5, -0.5, 0.0, 0.5, 0.5, 2.0])


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (torch.sort, (X,)),
        (torch.sort, (X, 1, True)),
        (torch.sort, (X.bfloat16(), 0)),
        (lambda x: torch.sort(x, dim=-1, stable=True), (TIES,)),
        (lambda x: torch.sort(x, dim=-1, descending=True, stable=True), (TIES,)),
        (lambda x: torch.argsort(x, dim=1, stable=True), (TIES,)),
        (lambda x: torch.sort(x.mT), (X,)),
        (torch.sort, (torch.tensor([1.0, float("nan"), -1.0, float("inf")]),)),
        (torch.sort, (torch.zeros(3, 0),)),
        (torch.msort, (X,)),
        (torch.topk, (X, 3)),
        (torch.topk, (X, 9, 1)),
        (lambda x: torch.topk(x, 2, 0, largest=False), (X,)),
        (torch.topk, (X.half(), 1)),
        (torch.topk, (torch.tensor([1.0, float("nan"), -1.0]), 2)),
        (torch.kthvalue, (X, 2)),
        (torch.kthvalue, (X, 9, 1, True)),
        (torch.searchsorted, (EDGES, X)),
        (lambda edges, x: torch.searchsorted(edges, x, right=True, out_int32=True), (EDGES, EDGES)),
        (lambda edges, x, sorter: torch.searchsorted(edges, x, sorter=sorter), (EDGES.flip(0), X, torch.arange(5, -1, -1))),
        (lambda edges: torch.searchsorted(edges, 0.5), (EDGES,)),
        (torch.bucketize, (X, EDGES)),
        (lambda x, edges: torch.bucketize(x, edges, right=True), (EDGES, EDGES)),
    ],
)
def test_equal_to_the_cpu(call, arguments):
    agree(call, *arguments)


@pytest.mark.parametrize("largest", [True, False])
def test_topk_gives_the_lowest_indices_of_ties_first(largest):
    found = torch.topk(TIES.npu(), 20, largest=largest)
    ordered = torch.sort(TIES, descending=largest, stable=True)
    assert found.values.cpu().equal(ordered.values[:, :20])
    assert found.indices.cpu().equal(ordered.indices[:, :20])


def test_kthvalue_gives_the_lowest_index_of_ties_first():
    assert torch.kthvalue(torch.tensor([2, 1, 2, 1]).npu(), 3).indices.item() == 0


def test_topk_and_bucketize_of_other_devices():
    assert sorting.Topk(X, 3, 1, True, True, X, X)[0].equal(torch.topk(X, 3, 1).values)
    assert sorting.Bucketize(X, EDGES, False, True, X).equal(torch.bucketize(X, EDGES, right=True))


def test_gradient_of_sort_goes_back_to_the_places():
    def gradient(x):
        (torch.sort(x, 1).values * torch.arange(9.0, device=x.device)[:, None]).sum().backward()
        return x.grad

    agree(gradient, X.clone().requires_grad_())


@pytest.mark.parametrize(("x", "k"), [(torch.tensor(2.0), 3), (torch.tensor([2.0, 1.0]), 3)])
def test_kthvalue_beyond_the_last_is_refused(x, k):
    with pytest.raises(RuntimeError, match=f"k is {k}, and there are"):
        torch.kthvalue(x.npu(), k).values.cpu()
