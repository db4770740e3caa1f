"""Up- and downsampling of images, sampling at a grid, and their backwards. Knows no padding."""

from collections.abc import Callable
from typing import Any

import torch

from emulator.behaviour import taking
from emulator.operator import plain
from emulator.widening import widened

aten = torch.ops.aten

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def _resample(name: str, dims: int, corners: str, scale: str, forward: str, backward: str) -> None:
    """Register an upsampling under `name` and its backward under `backward`.

    `corners` is the letter of align_corners, or nothing; `scale` that of every scale: 0 or -1 for one that was not given.
    The CPU has antialiasing in no 16 bits. Bytes are interpolated by the nearest only (cann/ops-cv, pages aclnnUpsample*).
    """
    wide = widened if forward.endswith("_aa") else lambda function: function
    types = _FLOATS if corners or name == "UpsampleNearestExact3d" else (*_FLOATS, torch.uint8)
    plain(name, f"tI{corners}{scale * dims}o", taking(wide(_scaled(getattr(aten, forward).default, dims)), *types))
    plain(backward, f"tII{corners}{'d' * dims}o", wide(_scaled(getattr(aten, f"{forward}_backward").default, dims)))


def _scaled(operator: Callable[..., Any], dims: int) -> Callable[..., Any]:
    return lambda *arguments: operator(*arguments[:-dims], *[scale if scale > 0 else None for scale in arguments[-dims:]])


_resample("UpsampleLinear1d", 1, "b", "d", "upsample_linear1d", "UpsampleLinear1dBackward")
_resample("UpsampleBilinear2d", 2, "b", "d", "upsample_bilinear2d", "UpsampleBilinear2dBackward")
_resample("UpsampleBilinear2dAA", 2, "b", "d", "_upsample_bilinear2d_aa", "UpsampleBilinear2dAABackward")
_resample("UpsampleBicubic2d", 2, "b", "d", "upsample_bicubic2d", "UpsampleBicubic2dBackward")
_resample("UpsampleBicubic2dAA", 2, "b", "d", "_upsample_bicubic2d_aa", "UpsampleBicubic2dAAGrad")
_resample("UpsampleTrilinear3d", 3, "b", "d", "upsample_trilinear3d", "UpsampleTrilinear3dBackward")
_resample("UpsampleNearest1dV2", 1, "", "f", "upsample_nearest1d", "UpsampleNearest1dBackward")
_resample("UpsampleNearest2dV2", 2, "", "f", "upsample_nearest2d", "UpsampleNearest2dBackward")
_resample("UpsampleNearest3d", 3, "", "d", "upsample_nearest3d", "UpsampleNearest3dBackward")
_resample("UpsampleNearestExact1d", 1, "", "d", "_upsample_nearest_exact1d", "UpsampleNearestExact1dBackward")
_resample("UpsampleNearestExact2d", 2, "", "d", "_upsample_nearest_exact2d", "UpsampleNearestExact2dBackward")
_resample("UpsampleNearestExact3d", 3, "", "d", "_upsample_nearest_exact3d", "UpsampleNearestExact3dBackward")
plain("UpsampleBilinear2dBackwardV2", "tIIbddo", _scaled(aten.upsample_bilinear2d_backward.default, 2))
plain("UpsampleNearest1d", "tIo", lambda self, size: aten.upsample_nearest1d.default(self, size))
plain("UpsampleNearest2d", "tIo", lambda self, size: aten.upsample_nearest2d.default(self, size))

plain("AffineGrid", "tIbo", aten.affine_grid_generator.default)
plain("GridSampler2D", "ttiibo", aten.grid_sampler_2d.default)
plain("GridSampler2DBackward", "tttiibBoo", lambda *arguments: aten.grid_sampler_2d_backward.default(*arguments[:-1], list(arguments[-1])))
plain("GridSampler3D", "ttiibo", aten.grid_sampler_3d.default)
plain("GridSampler3DBackward", "tttiibBoo", lambda *arguments: aten.grid_sampler_3d_backward.default(*arguments[:-1], list(arguments[-1])))
