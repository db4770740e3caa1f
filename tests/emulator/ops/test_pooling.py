"""Pooling: the same bits as on the CPU, with gradients, in one, two and three dimensions."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from emulator.operator import OPERATORS
from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

G = torch.Generator().manual_seed(0)
LINE, IMAGE, VOLUME = (torch.randn(shape, generator=G) for shape in ((2, 4, 9), (2, 4, 9, 8), (2, 3, 6, 5, 7)))
FLOATS = (torch.float32, torch.float16, torch.bfloat16)

POOLS: dict[str, tuple[Tensor, Callable[[Tensor], Tensor]]] = {
    "max 1d": (LINE, lambda x: F.max_pool1d(x, 2)),
    "average 1d": (LINE, lambda x: F.avg_pool1d(x, 3, 2, 1)),
    "adaptive average 1d": (LINE, lambda x: F.adaptive_avg_pool1d(x, 4)),
    "adaptive max 1d": (LINE, lambda x: F.adaptive_max_pool1d(x, 4)),
    "max 2d": (IMAGE, lambda x: F.max_pool2d(x, 2)),
    "max 2d, overlapping and padded": (IMAGE, lambda x: F.max_pool2d(x, 3, 2, 1)),
    "max 2d, dilated": (IMAGE, lambda x: F.max_pool2d(x, (3, 2), (2, 1), (1, 0), dilation=(1, 2))),
    "max 2d, the last window beyond the edge": (IMAGE, lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)),
    "max 2d of one image": (IMAGE[0], lambda x: F.max_pool2d(x, 2)),
    "max 2d of a view": (IMAGE, lambda x: F.max_pool2d(x.mT[:, 1:], 2)),
    "average 2d": (IMAGE, lambda x: F.avg_pool2d(x, 2)),
    "average 2d without the padding": (IMAGE, lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)),
    "average 2d with a divisor": (IMAGE, lambda x: F.avg_pool2d(x, 3, divisor_override=5)),
    "power average 2d": (IMAGE, lambda x: F.lp_pool2d(x, 2, 2)),
    "adaptive average 2d": (IMAGE, lambda x: F.adaptive_avg_pool2d(x, 3)),
    "adaptive average 2d to one": (IMAGE, lambda x: F.adaptive_avg_pool2d(x, 1)),
    "adaptive max 2d": (IMAGE, lambda x: F.adaptive_max_pool2d(x, 3)),
    "max 3d": (VOLUME, lambda x: F.max_pool3d(x, 3, 2, 1)),
    "adaptive average 3d": (VOLUME, lambda x: F.adaptive_avg_pool3d(x, 3)),
    "adaptive max 3d": (VOLUME, lambda x: F.adaptive_max_pool3d(x, 3)),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", POOLS)
def test_as_on_the_cpu(name: str, dtype: torch.dtype) -> None:
    x, pool = POOLS[name]
    agree(with_gradients(pool), x.to(dtype))


def test_average_3d() -> None:
    pool = with_gradients(lambda x: F.avg_pool3d(x, 3, 2, 1, count_include_pad=False))
    agree(pool, VOLUME)
    narrow = [one.half() for one in pool(VOLUME.half().float())]
    for found, expected in zip(pool(VOLUME.half().npu()), narrow, strict=True):
        torch.testing.assert_close(found.cpu(), expected)


def test_max_2d_gives_a_mask_for_indices() -> None:
    """So a program that reads the indices of `return_indices=True` finds others than on a CPU, of another shape and type."""
    result, indices = F.max_pool2d(IMAGE.npu(), 3, 2, return_indices=True)
    assert result.cpu().equal(F.max_pool2d(IMAGE, 3, 2))
    assert indices.dtype == torch.int8
    assert indices.shape == (2, 4, 9, 64)
    bits = indices.cpu().view(torch.uint8).unsqueeze(-1) >> torch.arange(8) & 1
    assert (bits.flatten(-2).sum(-2)[..., :12] == 1).all()


def test_unpooling() -> None:
    pooled, indices = F.max_pool2d(IMAGE[..., :8, :], 2, return_indices=True)
    agree(lambda x, places: F.max_unpool2d(x, places, 2), pooled, indices)
    pooled, indices = F.max_pool3d(VOLUME[:, :, :, :4, :6], 2, return_indices=True)
    agree(lambda x, places: F.max_unpool3d(x, places, 2), pooled, indices)


def test_unpooling_where_deterministic_algorithms_are_demanded() -> None:
    """A device computes as ever: what PyTorch refuses then is its own operator for the CPU."""
    pooled, indices = F.max_pool2d(IMAGE[..., :8, :], 2, return_indices=True)
    expected = F.max_unpool2d(pooled, indices, 2)
    torch.use_deterministic_algorithms(True)
    try:
        found = F.max_unpool2d(pooled.npu(), indices.npu(), 2).cpu()
    finally:
        torch.use_deterministic_algorithms(False)
    assert found.equal(expected)


def test_max_2d_with_indices_in_the_compatible_form() -> None:
    """torch_npu calls it where TORCH_NPU_USE_COMPATIBLE_IMPL=1, and keeps the indices as int32."""
    window = (3, 3), (2, 2), (1, 1), (1, 1), False
    result, indices = OPERATORS["aclnnMaxPool2dWithIndices"].function(IMAGE, *window, None, None)
    gradient = OPERATORS["aclnnMaxPool2dWithIndicesBackward"].function(result, IMAGE, indices.int(), *window, None)
    expected = torch.ops.aten.max_pool2d_with_indices_backward(result, IMAGE, *window, indices)
    assert gradient.equal(expected)
