"""Layer and group normalization: the same bits as on the CPU, with their gradients; the activated ones by their definition."""

import pytest
import torch
import torch_npu
from torch.nn.functional import group_norm, layer_norm, silu

from emulator.operator import OPERATORS
from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

G = torch.Generator().manual_seed(0)
X = torch.randn(4, 6, 3, 5, generator=G)
WEIGHT, BIAS = torch.randn(6, generator=G), torch.randn(6, generator=G)
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
MIXES = [*[(dtype, dtype) for dtype in FLOATS], *[(torch.float32, dtype) for dtype in FLOATS[1:]]]


@pytest.mark.parametrize(("parameters", "dtype"), MIXES, ids=str)
def test_layer_norm(parameters, dtype):
    agree(
        with_gradients(lambda x, w, b: layer_norm(x.mT.transpose(1, -1), (6,), w, b)),
        X.to(dtype),
        WEIGHT.to(parameters),
        BIAS.to(parameters),
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_layer_norm_without_parameters(dtype):
    agree(with_gradients(lambda x: layer_norm(x, (3, 5), eps=0.1)), X.to(dtype))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (2, 0, 4), (0,)])
def test_layer_norm_of_nothing(shape):
    agree(lambda x: layer_norm(x, x.shape[-1:]), torch.empty(shape))


def test_layer_norm_in_the_compatible_form_is_the_same():
    plain, fast = (
        OPERATORS[f"aclnn{name}"].function(X, (5,), None, None, 1e-5, None, None, None) for name in ("LayerNorm", "FastLayerNorm")
    )
    assert all(one.equal(other) for one, other in zip(plain, fast, strict=True))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_group_norm(dtype):
    agree(with_gradients(lambda x, w, b: group_norm(x, 3, w, b)), X.to(dtype), WEIGHT.to(dtype), BIAS.to(dtype))
    agree(with_gradients(lambda x: group_norm(x, 2)), X.to(dtype))


def test_group_norm_saves_statistics_in_16_bits_so_mixed_gradients_differ_a_little():
    narrow = X.bfloat16()
    found = with_gradients(lambda x, w, b: group_norm(x, 3, w, b))(narrow.npu(), WEIGHT.npu(), BIAS.npu())
    expected = with_gradients(lambda x, w, b: group_norm(x, 3, w, b))(narrow, WEIGHT, BIAS)
    assert found[0].cpu().equal(expected[0])
    torch.testing.assert_close(found[1].cpu(), expected[1], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_group_norm_silu(dtype):
    x, weight, bias = (one.to(dtype) for one in (X, WEIGHT, BIAS))
    found = torch_npu.npu_group_norm_silu(x.npu(), weight.npu(), bias.npu(), 3, 1e-5)
    wide = x.double()
    torch.testing.assert_close(found[0].cpu(), silu(group_norm(wide, 3, weight.double(), bias.double())).to(dtype))
    torch.testing.assert_close(found[1].cpu(), wide.view(4, 3, -1).mean(-1).to(dtype))
    torch.testing.assert_close(found[2].cpu(), (wide.view(4, 3, -1).var(-1, correction=0) + 1e-5).rsqrt().to(dtype))


def test_operands_need_not_be_contiguous():
    x, weight, bias = X.mT.contiguous().npu().mT, WEIGHT.repeat_interleave(2).npu()[::2], BIAS.repeat_interleave(2).npu()[::2]
    silus = [torch_npu.npu_group_norm_silu(*given, 3, 1e-5)[0].cpu() for given in ((x, weight, bias), (X.npu(), WEIGHT.npu(), BIAS.npu()))]
    torch.testing.assert_close(*silus)
    swishes = [
        with_gradients(lambda x, w, b: torch_npu.npu_group_norm_swish(x, 3, w, b)[0])(*given)
        for given in ((x, weight, bias), (X.npu(), WEIGHT.npu(), BIAS.npu()))
    ]
    for one, other in zip(*swishes, strict=True):
        torch.testing.assert_close(one.cpu(), other.cpu())


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3, 5)])
def test_group_norm_swish_and_its_gradients(shape):
    x = torch.randn(shape, generator=G)

    def plain(x, weight, bias):
        normal = group_norm(x, 2, weight, bias)
        return normal * torch.sigmoid(1.5 * normal)

    found = with_gradients(lambda x, w, b: torch_npu.npu_group_norm_swish(x, 2, w, b, swish_scale=1.5)[0])(
        x.npu(), WEIGHT.npu(), BIAS.npu()
    )
    expected = with_gradients(plain)(x.double(), WEIGHT.double(), BIAS.double())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu().double(), other, rtol=1e-4, atol=1e-5)
