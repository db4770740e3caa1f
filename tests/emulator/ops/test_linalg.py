import pytest
import torch

from emulator.operator import OPERATORS
from emulator.ops import linalg
from tests.emulator.agree import agree

G = torch.Generator().manual_seed(1)
A, TALL, B = torch.randn(5, 5, generator=G), torch.randn(2, 5, 3, generator=G), torch.randn(5, 2, generator=G)
POSITIVE = A @ A.mT + torch.eye(5)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (torch.inverse, (A,)),
        (torch.inverse, (torch.stack([A, POSITIVE]),)),
        (torch.linalg.qr, (TALL,)),
        (lambda a: torch.linalg.qr(a, "complete"), (TALL,)),
        (lambda a: torch.linalg.qr(a, "r"), (TALL,)),
        (torch.linalg.svd, (TALL,)),
        (lambda a: torch.linalg.svd(a, full_matrices=False), (TALL,)),
        (torch.linalg.svdvals, (TALL,)),
        (torch.slogdet, (A,)),
        (torch.slogdet, (torch.zeros(3, 3),)),
        (torch.linalg.cholesky, (POSITIVE,)),
        (lambda a: torch.linalg.cholesky(a, upper=True), (POSITIVE,)),
        (lambda a, b: torch.linalg.cross(a, b, dim=-1), (TALL, TALL.flip(0))),
        (lambda a, b: torch.cross(a, b, dim=0), (TALL[0].mT.contiguous(), TALL[1].mT.contiguous())),
        (torch.trace, (A,)),
        (torch.trace, (torch.arange(6).view(2, 3),)),
        (lambda a, b: torch.linalg.solve_triangular(a, b, upper=True), (A, B)),
        (lambda a, b: torch.linalg.solve_triangular(a, b, upper=False, unitriangular=True), (A, B)),
        (lambda a, b: torch.linalg.solve_triangular(a, b, upper=False, left=False), (A, B.mT.contiguous())),
    ],
)
def test_equal_to_the_cpu(call, arguments):
    agree(call, *arguments)


@pytest.mark.parametrize("upper", [True, False])
def test_triangular_solve_of_the_transpose(upper):
    solution, copy = linalg.TriangularSolve(B, A, upper, True, False, B, A)
    triangle = (A.triu() if upper else A.tril()).double()
    torch.testing.assert_close(triangle.mT @ solution.double(), B.double(), rtol=1e-4, atol=1e-4)
    assert copy.equal(A)


def test_cholesky_of_no_positive_matrix_fails():
    with pytest.raises(RuntimeError, match="not positive-definite"):
        OPERATORS["aclnnLinalgCholesky"].function(-POSITIVE, False, torch.empty(5, 5))


def test_inverse_of_16_bits_is_taken_in_32():
    assert torch.inverse(A.half().npu()).cpu().equal(torch.inverse(A.half().float()).half())
