"""What autograd keeps for the backward pass, held against what is known of single operators and layers."""

import gc

import torch
from torch import nn

from suites.workloads.post_training.saved import Saved, bytes_of, layers_of


def kept(call, *parameters: nn.Parameter, layers=()):
    with Saved(parameters, layers) as saved:
        out = call()
    return saved, out


def test_an_exponential_keeps_its_output_and_a_square_its_input() -> None:
    w = nn.Parameter(torch.zeros(3))
    x = torch.zeros(100, requires_grad=True)
    assert kept(lambda: x.exp(), w)[0].most == 400
    assert kept(lambda: x.square(), w)[0].most == 400
    assert kept(lambda: x + 1, w)[0].most == 0


def test_parameters_do_not_count_and_a_shared_storage_counts_once() -> None:
    w = nn.Parameter(torch.ones(8, 8))
    x = torch.ones(4, 8)
    assert kept(lambda: x @ w, w)[0].most == 4 * 8 * 4
    assert kept(lambda: (x @ w) + (x[:2] @ w).sum(), w)[0].most == 4 * 8 * 4


def test_copies_of_parameters_in_a_narrow_type_do() -> None:
    w = nn.Parameter(torch.ones(8, 8))
    x = torch.ones(4, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert kept(lambda: nn.functional.linear(x, w), w)[0].most == 4 * 8 * 2 + 8 * 8 * 2


def test_what_was_let_go_before_is_not_counted_with_what_came_later() -> None:
    w = nn.Parameter(torch.zeros(3))
    x = torch.zeros(100, requires_grad=True)

    def twice() -> torch.Tensor:
        x.exp().detach()  # its graph is dropped
        return x.square()

    assert kept(twice, w)[0].most == 400


def test_the_graph_is_freed() -> None:
    """A saved output must not hold the node that holds it."""
    w = nn.Parameter(torch.zeros(3))
    x = torch.zeros(100, requires_grad=True)
    gc.disable()
    try:
        saved, out = kept(lambda: x.exp() * 2, w)
        assert saved.now == 400
        del out
        assert saved.now == 0
    finally:
        gc.enable()


def test_gradients_are_the_same_with_and_without() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Softmax(-1), nn.Linear(8, 1))
    x = torch.randn(4, 8)
    model(x).sum().backward()
    plain = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    saved, out = kept(lambda: model(x).sum(), *model.parameters(), layers=list(model))
    out.backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(plain, model.parameters(), strict=True))
    assert saved.by_layer == [4 * 8 * 4, 4 * 8 * 4, 0, 0]  # input; the softmax's output, which the last layer shares


def test_layers_are_the_list_of_that_many_modules() -> None:
    model = nn.ModuleDict({"a": nn.ModuleList([nn.Identity()]), "b": nn.ModuleList([nn.Identity(), nn.Identity()])})
    assert layers_of(model, 2) == list(model["b"])
    assert layers_of(model, 3) == ()


def test_bytes_of_leaves_counters_out() -> None:
    assert bytes_of([torch.zeros(3, dtype=torch.float64), torch.tensor(1.0), None, torch.zeros(2, 2, dtype=torch.bfloat16)]) == 32
