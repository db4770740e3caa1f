"""Other forms of the same computation: close, and not the same bits where the arithmetic differs."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.forms import Reordered, Unfused, form
from harness.manner import MOVED, Manner

X = torch.randn(33, 257, generator=torch.Generator().manual_seed(0))
W = torch.randn(257, 31, generator=torch.Generator().manual_seed(1))

OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "product": lambda x: x @ W,
    "sum": lambda x: x.sum(),
    "sum of rows": lambda x: x.sum(1),
    "mean": lambda x: x.mean(0),
    "softmax": lambda x: F.softmax(x, -1),
    "layer_norm": lambda x: F.layer_norm(x, (257,)),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=1),
    "gelu": F.gelu,
}


@pytest.mark.parametrize("mode", [Unfused, Reordered])
@pytest.mark.parametrize("name", OPERATORS)
def test_a_form_is_as_close_to_float64_as_the_operator(mode: type[Unfused], name: str) -> None:
    golden = OPERATORS[name](X.double()) if name != "product" else X.double() @ W.double()
    with mode():
        result = OPERATORS[name](X)
    plain = OPERATORS[name](X)
    assert (result - golden).norm() <= 8 * (plain - golden).norm() + 1e-6 * golden.norm()


def test_reordering_changes_bits_of_a_sum_and_undoes_nothing_else() -> None:
    with Reordered():
        assert not torch.equal((X @ W), X.flip(0) @ W)
        turned = F.softmax(X, -1)
        assert torch.equal(X.exp(), X.exp())
    assert not torch.equal(turned, X)
    assert (turned.sum(-1) - 1).abs().max() < 1e-6


def test_taking_apart_reaches_the_backward_pass() -> None:
    seen: list[str] = []

    class Spy(Unfused):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return super().__torch_dispatch__(func, types, args, kwargs)

    with Spy():
        leaf = X.clone().requires_grad_()
        F.softmax(leaf, -1).sum().backward()
    assert "aten._softmax_backward_data.default" in seen
    assert "aten.mul.Tensor" in seen


def test_the_forms_are_chosen_by_manner() -> None:
    for manner, kind in ((Manner.UNFUSED, Unfused), (Manner.REORDERED, Reordered)):
        with form(manner) as entered:
            assert isinstance(entered, kind)
    with form(Manner.PLAIN) as entered:
        assert entered is None


def test_moved_manners_are_exact_and_numbered() -> None:
    assert [manner.moved for manner in MOVED] == [1, -1, 2]
    assert all(manner.exact for manner in (*MOVED, Manner.GOLDEN))
    assert not Manner.UNFUSED.exact
