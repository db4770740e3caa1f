"""Resampling, sampling at grids and padding: the same bits as on the CPU, with gradients."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from emulator.operator import OPERATORS
from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

G = torch.Generator().manual_seed(0)
LINE, IMAGE, VOLUME = (torch.randn(shape, generator=G) for shape in ((2, 4, 9), (2, 4, 9, 8), (2, 3, 4, 5, 6)))
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def affine(x: Tensor, zoom: float, size: tuple[int, ...], align: bool) -> Tensor:
    """Return the grid that zooms about the middle of the image."""
    dims = len(size) - 2
    theta = torch.eye(dims, dims + 1, dtype=x.dtype, device=x.device).repeat(len(x), 1, 1) * zoom
    return F.affine_grid(theta, list(size), align_corners=align)


RESAMPLED: dict[str, tuple[Tensor, Callable[[Tensor], Tensor]]] = {
    "nearest 1d": (LINE, lambda x: F.interpolate(x, scale_factor=1.7)),
    "nearest 1d to a size": (LINE, lambda x: F.interpolate(x, size=5)),
    "nearest-exact 1d": (LINE, lambda x: F.interpolate(x, size=12, mode="nearest-exact")),
    "linear": (LINE, lambda x: F.interpolate(x, scale_factor=1.7, mode="linear")),
    "linear, corners aligned": (LINE, lambda x: F.interpolate(x, size=5, mode="linear", align_corners=True)),
    "nearest 2d": (IMAGE, lambda x: F.interpolate(x, scale_factor=(2, 0.6))),
    "nearest 2d to a size": (IMAGE, lambda x: F.interpolate(x, size=(5, 11))),
    "nearest-exact 2d": (IMAGE, lambda x: F.interpolate(x, scale_factor=1.7, mode="nearest-exact")),
    "bilinear": (IMAGE, lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear")),
    "bilinear, corners aligned": (IMAGE, lambda x: F.interpolate(x, size=(5, 11), mode="bilinear", align_corners=True)),
    "bicubic": (IMAGE, lambda x: F.interpolate(x, scale_factor=1.7, mode="bicubic")),
    "nearest 3d": (VOLUME, lambda x: F.interpolate(x, scale_factor=1.7)),
    "nearest-exact 3d": (VOLUME, lambda x: F.interpolate(x, size=(3, 9, 4), mode="nearest-exact")),
    "trilinear": (VOLUME, lambda x: F.interpolate(x, scale_factor=1.7, mode="trilinear")),
    "grid": (IMAGE, lambda x: F.grid_sample(x, affine(x, 0.7, (2, 4, 5, 6), False), align_corners=False)),
    "grid, nearest, reflecting": (
        IMAGE,
        lambda x: F.grid_sample(x, affine(x, 1.3, (2, 4, 5, 6), True), mode="nearest", padding_mode="reflection", align_corners=True),
    ),
    "grid 3d, to the border": (
        VOLUME,
        lambda x: F.grid_sample(x, affine(x, 1.3, (2, 3, 3, 5, 6), False), padding_mode="border", align_corners=False),
    ),
    "pad": (IMAGE, lambda x: F.pad(x, (1, 2, 0, 3), value=0.5)),
    "crop": (IMAGE, lambda x: F.pad(x, (-1, 2, 0, -3))),
    "reflect 1d": (LINE, lambda x: F.pad(x, (1, 2), mode="reflect")),
    "reflect 2d": (IMAGE, lambda x: F.pad(x, (1, 2, 0, 3), mode="reflect")),
    "reflect 3d": (VOLUME, lambda x: F.pad(x, (1, 2, 1, 1, 2, 2), mode="reflect")),
    "replicate 1d": (LINE, lambda x: F.pad(x, (1, 2), mode="replicate")),
    "replicate 2d": (IMAGE, lambda x: F.pad(x, (1, 2, 0, 3), mode="replicate")),
    "replicate 3d": (VOLUME, lambda x: F.pad(x, (1, 2, 1, 1, 2, 2), mode="replicate")),
    "circular": (IMAGE, lambda x: F.pad(x, (1, 2, 0, 3), mode="circular")),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", RESAMPLED)
def test_as_on_the_cpu(name: str, dtype: torch.dtype) -> None:
    x, function = RESAMPLED[name]
    agree(with_gradients(function), x.to(dtype))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_antialiased(mode: str) -> None:
    function = with_gradients(lambda x: F.interpolate(x, size=(5, 11), mode=mode, antialias=True))
    agree(function, IMAGE)
    narrow = IMAGE.bfloat16()
    for found, expected in zip(function(narrow.npu()), function(narrow.float()), strict=True):
        torch.testing.assert_close(found.cpu(), expected.bfloat16(), rtol=0.01, atol=0.01)


def test_gradient_of_a_grid() -> None:
    grid = torch.rand(2, 5, 6, 2, generator=G) * 2 - 1
    agree(with_gradients(lambda x, places: F.grid_sample(x, places, align_corners=False)), IMAGE, grid)
    grid = torch.rand(2, 2, 3, 4, 3, generator=G) * 2 - 1
    agree(with_gradients(lambda x, places: F.grid_sample(x, places, align_corners=False)), VOLUME, grid)


def test_the_forms_without_scales_of_older_toolkits() -> None:
    assert OPERATORS["aclnnUpsampleNearest1d"].function(LINE, [5], LINE).equal(F.interpolate(LINE, size=5))
    assert OPERATORS["aclnnUpsampleNearest2d"].function(IMAGE, [5, 11], IMAGE).equal(F.interpolate(IMAGE, size=(5, 11)))
    sizes = [9, 8], [2, 4, 4, 5], False, 0.0, 0.0
    older, newer = (OPERATORS[f"aclnnUpsampleBilinear2dBackward{form}"].function(IMAGE, *sizes, IMAGE) for form in ("", "V2"))
    assert older.equal(newer)


def test_bytes_are_interpolated_by_the_nearest_only() -> None:
    image = torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4)
    agree(lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), image)
    with pytest.raises(RuntimeError, match="not implemented for DT_UINT8"):
        F.interpolate(image.npu(), scale_factor=2, mode="bilinear").cpu()
