import pytest
import torch
import torch_npu
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from emulator.ops import dropout

COUNT = 20_000


@pytest.fixture(autouse=True)
def seed():
    torch.npu.manual_seed(11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_elements_are_dropped_or_scaled(dtype, p):
    x = torch.ones(COUNT, dtype=dtype)
    found = F.dropout(x.npu(), p).cpu()
    assert found.unique().tolist() == [0, (x[:1] * (1 / (1 - p))).item()]
    assert abs((found == 0).double().mean() - p) < 0.02


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_ends(p, expected):
    assert F.dropout(torch.ones(9).npu(), p).tolist() == [expected] * 9


def test_the_gradient_goes_through_the_same_mask():
    x = torch.randn(33, 7).npu().requires_grad_()
    y = F.dropout(x, 0.3)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_dropped_is_zero_whatever_was_there():
    found = F.dropout(torch.full((COUNT,), torch.inf).npu(), 0.5)
    assert found.cpu().unique().tolist() == [0, torch.inf]


def test_a_checkpoint_draws_the_same_mask_again():
    def gradient(through):
        torch.npu.manual_seed(5)
        x = torch.ones(COUNT).npu().requires_grad_()
        F.dropout(through(x), 0.5).sum().backward()
        return x.grad

    def block(x):
        return F.dropout(x, 0.5) * 2

    assert gradient(lambda x: checkpoint(block, x, use_reentrant=False)).equal(gradient(block))


def test_a_seed_gives_the_same_mask_and_a_second_call_another():
    x = torch.ones(COUNT).npu()
    first, second = F.dropout(x, 0.5), F.dropout(x, 0.5)
    torch.npu.manual_seed(11)
    assert F.dropout(x, 0.5).equal(first)
    assert not second.equal(first)


def test_in_place_drops_the_same():
    x = torch.randn(COUNT).npu()
    first = F.dropout(x, 0.3)
    torch.npu.manual_seed(11)
    torch.testing.assert_close(F.dropout(x.clone(), 0.3, inplace=True), first)


def test_the_mask_has_a_bit_an_element_lowest_first_padded_to_128():
    x = torch.ones(203).npu()
    result, mask = torch_npu._npu_dropout(x, 0.5)
    assert mask.shape == (32,)
    bits = [byte >> place & 1 for byte in mask.tolist() for place in range(8)]
    assert bits[:203] == [int(value > 0) for value in result.tolist()]
    assert not any(bits[203:])


def test_mask_and_application_in_one():
    x, out, mask = torch.linspace(1, 2, 203), torch.empty(203), torch.empty(32, dtype=torch.uint8)
    result, drawn = dropout.DropoutV3(x, None, 0.25, 7, 4, out, mask)
    assert drawn.equal(dropout.DropoutGenMask((203,), 0.25, 7, 4, mask))
    assert result.equal(dropout.DropoutDoMask(x, drawn, 0.25, out))
    assert dropout.DropoutV3Grad(x, drawn, 4 / 3, out).equal(result)
    replayed, _ = dropout.DropoutV3Tensor(x, None, 0.25, torch.tensor([7]), torch.tensor([3]), 1, out, mask)
    assert replayed.equal(result)
    assert dropout.DropoutGenMaskV2Tensor((203,), 0.25, torch.tensor([7]), torch.tensor([3]), 1, 0, mask).equal(drawn)
