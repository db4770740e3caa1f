import pytest
import torch
import torch_npu
from torch.nn import functional as F

from emulator import behaviour
from emulator.operator import OPERATORS
from emulator.ops import matmul
from tests.emulator.agree import agree

G = torch.Generator().manual_seed(1)
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def r(*shape):
    return torch.randn(*shape, generator=G)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (torch.mm, (r(33, 17), r(17, 21))),
        (torch.mm, (r(3, 0), r(0, 4))),
        (lambda a, b: torch.mm(a.T, b.T), (r(17, 33), r(21, 17))),
        (lambda a, b: torch.mm(a[:, ::2], b[::2]), (r(33, 17), r(17, 21))),
        (torch.matmul, (r(2, 33, 17), r(17, 21))),
        (torch.matmul, (r(2, 1, 5, 17), r(3, 17, 4))),
        (torch.matmul, (r(17), r(17, 4))),
        (torch.matmul, (r(17), r(17))),
        (torch.bmm, (r(3, 5, 17), r(3, 17, 4))),
        (lambda a, b: torch.bmm(a, b.mT), (r(3, 5, 17), r(3, 4, 17))),
        (torch.mv, (r(33, 17), r(17))),
        (torch.dot, (r(99), r(99))),
        (torch.vdot, (r(99), r(99))),
        (torch.outer, (r(3), r(4))),
        (lambda x, a, b: torch.addmm(x, a, b, alpha=2, beta=0.5), (r(21), r(33, 17), r(17, 21))),
        (lambda x, a, b: torch.addmm(x, a, b, beta=0), (torch.full((33, 21), torch.nan), r(33, 17), r(17, 21))),
        (lambda x, a, b: x.clone().addmm_(a, b), (r(33, 21), r(33, 17), r(17, 21))),
        (lambda x, a, b: torch.baddbmm(x, a, b, alpha=0.125), (r(3, 5, 4), r(3, 5, 17), r(3, 17, 4))),
        (lambda x, a, b: x.clone().baddbmm_(a, b), (r(3, 5, 4), r(3, 5, 17), r(3, 17, 4))),
        (torch.addbmm, (r(5, 4), r(3, 5, 17), r(3, 17, 4))),
        (lambda x, a, b: torch.addmv(x, a, b, alpha=2, beta=3), (r(33), r(33, 17), r(17))),
        (lambda x, a, b: torch.addr(x, a, b, beta=2, alpha=3), (r(3, 4), r(3), r(4))),
        (lambda x, a, b: x.clone().addr_(a, b), (r(3, 4), r(3), r(4))),
        (F.linear, (r(2, 9, 17), r(21, 17), r(21))),
        (F.linear, (r(9, 17), r(21, 17))),
        (lambda a, b: torch.einsum("bij,bkj->bik", a, b), (r(3, 5, 17), r(3, 4, 17))),
        (lambda a, b: torch.tensordot(a, b, 1), (r(3, 5, 17), r(17, 4))),
    ],
)
def test_equal_to_the_cpu(call, arguments, dtype):
    agree(call, *[argument.to(dtype) for argument in arguments])


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_linear(dtype):
    def gradients(x, weight, bias):
        given = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
        F.linear(*given).sum().backward()
        return [tensor.grad for tensor in given]

    agree(gradients, r(2, 9, 17).to(dtype), r(21, 17).to(dtype), r(21).to(dtype))


def test_reduced_operands_into_float32_are_accumulated_in_float32():
    a, b = r(33, 170).bfloat16(), r(170, 21).bfloat16()
    found = torch.mm(a.npu(), b.npu(), out_dtype=torch.float32)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.cpu(), a.float() @ b.float(), rtol=0, atol=0)


def test_float64_is_refused():
    with pytest.raises(RuntimeError, match="DT_DOUBLE"):
        OPERATORS["aclnnMm"].function(r(3, 3).double(), r(3, 3).double(), torch.empty(3, 3), 0)


def test_hf32_where_it_is_allowed():
    a, b = r(33, 17), r(17, 21)
    torch.npu.matmul.allow_hf32 = True
    try:
        found = torch.mm(a.npu(), b.npu()).cpu()
    finally:
        torch.npu.matmul.allow_hf32 = False
    assert found.equal(behaviour.hf32(a) @ behaviour.hf32(b))
    assert not found.equal(a @ b)


A, B, C, BIAS = r(5, 17), r(17, 4), r(5, 4), r(4)
PRODUCT = A.double() @ B.double()


@pytest.mark.parametrize(
    ("fused", "bias", "third", "expected"),
    [
        ("", BIAS, None, PRODUCT + BIAS),
        ("relu", BIAS, None, (PRODUCT + BIAS).clamp(min=0)),
        ("add", None, C, PRODUCT + C),
        ("mul", BIAS, C, (PRODUCT + BIAS) * C),
        ("gelu_erf", None, None, PRODUCT * (1 + torch.erf(PRODUCT / 2**0.5)) / 2),
        ("gelu_tanh", None, None, PRODUCT * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (PRODUCT + 0.044715 * PRODUCT**3))) / 2),
    ],
)
def test_fused_matmul(fused, bias, third, expected):
    found = matmul.FusedMatmul(A, B, bias, third, fused, 0, C)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_fused_matmul_gives_float32_of_reduced_operands():
    found = matmul.FusedMatmul(A.half(), B.half(), None, None, "16cast32", 0, C)
    torch.testing.assert_close(found, A.half().float() @ B.half().float(), rtol=0, atol=0)


@pytest.mark.parametrize("split", [1, 3])
def test_transpose_batchmatmul(split):
    one, other = r(5, 3, 16), r(3, 16, 8)
    found = torch_npu.npu_transpose_batchmatmul(one.npu(), other.npu(), perm_x1=(1, 0, 2), batch_split_factor=split)
    expected = torch.einsum("mbk,bkn->mbn", one.double(), other.double())
    if split > 1:
        expected = torch.stack([part.flatten(1) for part in expected.flatten(1).chunk(split, 1)])
    torch.testing.assert_close(found.cpu().double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_a", [True, False])
def test_batch_gather_matmul_in_place(with_a):
    y, x = r(6, 64).half(), r(6, 32).half()
    a, b = r(3, 2, 16, 32).half(), r(3, 2, 32, 16 if with_a else 32).half()
    indices = torch.tensor([0, 2, 2, 1, -1, 0], dtype=torch.int32)
    expected = y.double()
    for row, which in enumerate(indices.tolist()):
        if which >= 0:
            inner = a[which, 1].double() @ x[row].double() if with_a else x[row].double()
            expected[row, 16:48] += 0.5 * (b[which, 1].double() @ inner)
    found = torch_npu.npu_batch_gather_matmul_(
        y.npu(), x.npu(), b.npu(), indices.npu(), a.npu() if with_a else None, layer_idx=1, scale=0.5, y_offset=16, y_slice_size=32
    )
    torch.testing.assert_close(found.cpu().double(), expected, rtol=0.02, atol=0.05)


def test_a_batch_of_one_is_broadcast():
    """In its compatible mode torch_npu takes an expanded batch apart and leaves the broadcasting to the operator."""
    one, other = r(1, 8, 16), r(4, 16, 12)
    found = OPERATORS["aclnnBatchMatMul"].function(one, other, torch.empty(4, 8, 12), 0)
    assert found.equal(torch.bmm(one.expand(4, 8, 16), other))
