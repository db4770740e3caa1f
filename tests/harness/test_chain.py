"""The longest sum of a computation."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from harness.chain import Chain

A, B = torch.ones(3, 70), torch.ones(70, 5)


@pytest.mark.parametrize(
    ("compute", "terms"),
    [
        (lambda: A @ B, 70), (lambda: torch.bmm(A[None], B[None]), 70), (lambda: A.sum(1), 70), (lambda: A.sum(), 210),
        (lambda: A.exp() * 2, 1), (lambda: A.mT, 1), (lambda: F.softmax(A, 1), 70), (lambda: F.linear(A, B.mT, torch.zeros(5)), 70),
        (lambda: A.cumsum(1), 70),
    ],
)  # fmt: skip
def test_terms_are_counted(compute: Callable[[], object], terms: int) -> None:
    with Chain() as chain:
        compute()
    assert chain.longest == terms


def test_the_backward_pass_counts() -> None:
    leaf = torch.ones(900, 2, requires_grad=True)
    with Chain() as chain:
        (leaf @ torch.ones(2, 2)).sum(1)[0].backward()
        F.linear(torch.ones(900, 2), torch.ones(2, 2, requires_grad=True)).sum().backward()
    assert chain.longest >= 900
