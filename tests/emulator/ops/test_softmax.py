"""Softmax: the same bits as on the CPU, with its gradient; the masked ones by their definition."""

import pytest
import torch
import torch_npu

from emulator.operator import OPERATORS
from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

G = torch.Generator().manual_seed(0)
X = torch.randn(3, 4, 17, generator=G) * 5
IMAGE = torch.randn(2, 3, 32, 32, generator=G)
MASK = torch.rand(2, 1, 32, 32, generator=G) > 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dim", [-1, 0, 1])
@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
def test_as_on_the_cpu(function, dim, dtype):
    agree(with_gradients(lambda x: function(x, dim)), X.to(dtype))


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
def test_result_in_float32(function):
    agree(with_gradients(lambda x: function(x, -1, dtype=torch.float32)), X.bfloat16())


def test_views_and_infinities():
    agree(lambda x: torch.softmax(x.mT[:, ::2], 1), X)
    agree(lambda x: torch.softmax(x.masked_fill(x > 0, -torch.inf), -1), X)
    agree(lambda x: torch.log_softmax(x, 0), torch.tensor(2.0))


def masked(x, mask, scale):
    return torch.softmax((x * scale).masked_fill(mask, -10000), -1)


def test_masked():
    found = torch._masked_softmax(IMAGE.npu(), MASK.expand(IMAGE.shape).contiguous().npu(), -1, 2)
    torch.testing.assert_close(found.cpu(), masked(IMAGE.double(), MASK, 1).float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_scaled_masked_and_its_backward(dtype):
    """npu_scaled_masked_softmax itself takes another way on this device."""
    wide = IMAGE.to(dtype).double().requires_grad_()
    expected = masked(wide, MASK, 0.5)
    expected.backward(wide.detach())
    output = OPERATORS["aclnnScaledMaskedSoftmax"].function(IMAGE.to(dtype), MASK, 0.5, False, None)
    found = OPERATORS["aclnnScaledMaskedSoftmaxBackward"].function(IMAGE.to(dtype), output, MASK, 0.5, False, None)
    torch.testing.assert_close(output.double(), expected.detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.double(), wide.grad, rtol=0, atol=1e-6)


def test_scaled_masked_refuses_the_mask_of_its_own():
    for name, arguments in (("ScaledMaskedSoftmax", (IMAGE, MASK)), ("ScaledMaskedSoftmaxBackward", (IMAGE, IMAGE, MASK))):
        with pytest.raises(NotImplementedError, match="fixed_triu_mask"):
            OPERATORS[f"aclnn{name}"].function(*arguments, 1.0, True, None)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (6, 4, 5, 6)])
@pytest.mark.parametrize("mask", [None, (3, 5, 6), (3, 1, 5, 6)])
@pytest.mark.parametrize("bias", [(4, 5, 6), (1, 4, 5, 6)])
def test_masked_with_relative_position_bias(shape, mask, bias):
    x, b = torch.randn(shape, generator=G), torch.randn(bias, generator=G)
    m = None if mask is None else torch.randn(mask, generator=G)
    found = torch_npu.npu_masked_softmax_with_rel_pos_bias(x.npu(), None if m is None else m.npu(), b.npu(), 0.7)
    whole = x.double().view(2, 3, 4, 5, 6) * 0.7 + b.view(4, 5, 6) + (0 if m is None else m.view(3, 1, 5, 6))
    torch.testing.assert_close(found.cpu(), whole.softmax(-1).view(shape).float())
