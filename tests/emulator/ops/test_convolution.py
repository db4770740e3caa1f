"""Convolutions: the same bits as on the CPU with their gradients where HF32 is off, and HF32's accuracy where torch_npu leaves it on."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
import torch_npu
from torch import Tensor

from emulator import behaviour
from emulator.operator import OPERATORS
from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

G = torch.Generator().manual_seed(0)
LINE, IMAGE, VOLUME = (torch.randn(shape, generator=G) for shape in ((2, 4, 9), (2, 4, 9, 8), (2, 4, 5, 4, 6)))
WEIGHT, BIAS = torch.randn(6, 4, 3, 3, generator=G), torch.randn(6, generator=G)
Convolution = Callable[[Tensor, Tensor, Tensor], Tensor]

CONVOLUTIONS: dict[str, tuple[Tensor, Convolution]] = {
    "1d": (LINE, lambda x, w, b: F.conv1d(x, w[..., 0], b, padding=1)),
    "1d transposed": (LINE, lambda x, w, b: F.conv_transpose1d(x, w[..., 0].transpose(0, 1), b, 2, 1)),
    "2d": (IMAGE, F.conv2d),
    "2d, strided and padded": (IMAGE, lambda x, w, b: F.conv2d(x, w, b, 2, 1)),
    "2d, dilated, without bias": (IMAGE, lambda x, w, b: F.conv2d(x, w, None, 1, 2, 2)),
    "2d of the same size": (IMAGE, lambda x, w, b: F.conv2d(x, w, b, padding="same")),
    "2d in groups": (IMAGE, lambda x, w, b: F.conv2d(x, w[:, :2], b, groups=2)),
    "2d, every channel alone": (IMAGE, lambda x, w, b: F.conv2d(x, w[:4, :1], b[:4], groups=4)),
    "2d of one image": (IMAGE[0], F.conv2d),
    "2d of a view": (IMAGE, lambda x, w, b: F.conv2d(x.mT[..., 1:], w.mT, b)),
    "2d transposed": (IMAGE, lambda x, w, b: F.conv_transpose2d(x, w.transpose(0, 1), b, 2, 1, 1)),
    "2d transposed, in groups": (IMAGE, lambda x, w, b: F.conv_transpose2d(x, w[:4, :2], b[:4], groups=2)),
    "3d": (VOLUME, lambda x, w, b: F.conv3d(x, w[..., None], b, padding=1)),
    "3d transposed": (VOLUME, lambda x, w, b: F.conv_transpose3d(x, w.transpose(0, 1)[..., None], b, padding=1)),
    "over time, batch, channels": (LINE.permute(2, 0, 1), lambda x, w, b: torch.conv_tbc(x.contiguous(), w[..., 0].permute(2, 1, 0), b, 1)),
}


@pytest.fixture
def exact() -> Iterator[None]:
    """Float32 convolutions without HF32."""
    before = torch.npu.conv.allow_hf32
    torch.npu.conv.allow_hf32 = False
    yield
    torch.npu.conv.allow_hf32 = before


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_as_on_the_cpu(name: str, dtype: torch.dtype) -> None:
    x, function = CONVOLUTIONS[name]
    agree(with_gradients(function), x.to(dtype), WEIGHT.to(dtype), BIAS.to(dtype))


def test_float32_is_hf32_unless_it_is_switched_off() -> None:
    found = with_gradients(F.conv2d)(IMAGE.npu(), WEIGHT.npu(), BIAS.npu())
    upstream = torch.linspace(-1, 1, found[0].numel()).view(found[0].shape)
    x, w, grad = (behaviour.hf32(one) for one in (IMAGE, WEIGHT, upstream))
    assert found[0].cpu().equal(F.conv2d(x, w, BIAS))
    assert found[1].cpu().equal(torch.nn.grad.conv2d_input(x.shape, w, grad))
    exact = F.conv2d(IMAGE, WEIGHT, BIAS)
    assert 1e-4 < (found[0].cpu() - exact).abs().max() / exact.abs().max() < 1e-3


def test_depthwise_in_the_form_of_conv_depthwise2d() -> None:
    x, weight, bias = IMAGE.half(), WEIGHT[:4, :1].half(), BIAS[:4].half()
    found = torch.ops.aten._conv_depthwise2d(x.npu(), weight.npu(), (3, 3), bias.npu(), (1, 1), (1, 1), (1, 1))
    assert found.cpu().equal(F.conv2d(x, weight, bias, padding=1, groups=4))


def test_double_is_refused() -> None:
    with pytest.raises(RuntimeError, match="DT_DOUBLE"):
        OPERATORS["aclnnConvolution"].function(IMAGE.double(), WEIGHT.double(), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, IMAGE, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_columns(dtype: torch.dtype) -> None:
    agree(with_gradients(lambda x: F.unfold(x, (3, 2), dilation=(1, 2), padding=1, stride=2)), IMAGE.to(dtype))
    columns = F.unfold(IMAGE, 2, stride=2)
    agree(with_gradients(lambda x: F.fold(x, (9, 8), 2, stride=2)), columns.to(dtype))


@pytest.mark.parametrize("masked", [True, False])
def test_masked_causal_convolution_and_its_gradients(masked: bool) -> None:
    x, weight = torch.randn(7, 2, 4, generator=G).half(), torch.randn(3, 4, generator=G).half()
    mask = torch.rand(2, 7, generator=G) > 0.4 if masked else None

    def definition(x: Tensor, weight: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, 0, 0, 2, 0))
        result = sum(weight[k] * padded[k : k + 7] for k in range(3))
        return result if mask is None else result * mask.T[:, :, None]  # type: ignore[operator, return-value, union-attr]

    given = None if mask is None else mask.npu()
    found = torch_npu.npu_masked_causal_conv1d(x.npu(), weight.npu(), mask=given)
    expected = with_gradients(definition)(x.double(), weight.double())
    upstream = torch.linspace(-1, 1, found.numel()).view(found.shape).half()
    gradients = torch.ops.npu.npu_masked_causal_conv1d_backward(upstream.npu(), x.npu(), weight.npu(), mask=given)
    for one, other in zip((found, *gradients), expected, strict=True):
        torch.testing.assert_close(one.cpu().double(), other, rtol=2e-3, atol=2e-3)


def test_both_ends_of_every_dimension_may_be_padded() -> None:
    x, weight = torch.randn(2, 3, 6, 5), torch.randn(4, 3, 3, 3)
    call = OPERATORS["aclnnConvolution"].function
    found = call(x, weight, None, (1, 1), (1, 0, 2, 1), (1, 1), False, (0, 0), 1, torch.empty(0), 0)
    assert found.equal(F.conv2d(F.pad(x, (2, 1, 1, 0)), weight))
