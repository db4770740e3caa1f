"""torch_npu's pooling of regions, forward and backward. Knows no device."""

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs, draw_integers
from reference.oracles.fused import regions as oracle
from suites.workloads.operators.fused.listing import on_npu


def roi_align(inputs: Inputs, /, *, regions: int, channels: int, side: int, mode: int) -> Step:
    """Pool regions of two images; returns `out` and `grad_images`. Corners are multiples of 1/16 of a pixel."""
    images = inputs.normal("images", (2, channels, side, side))
    corner, size = (draw_integers(inputs.seed, name, 2 * regions, 1, 8 * side).reshape(regions, 2) for name in ("corner", "size"))
    which = draw_integers(inputs.seed, "which", regions, 0, 2)[:, None]
    host = torch.cat([torch.from_numpy(part).float() for part in (which, corner / 4, (corner + size) / 4)], 1)
    rois, cotangent = inputs.given("rois", host), inputs.normal("cotangent", (regions, channels, 3, 4))
    forward = inputs.fused("npu_roi_align", oracle.roi_align)

    def plain(grad: Tensor, rois: Tensor, shape: list[int], width: int, height: int, scale: float, samples: int, mode: int) -> Tensor:
        leaf = torch.zeros(shape, dtype=grad.dtype, requires_grad=True)  # the operator is linear in the images
        return torch.autograd.grad(oracle.roi_align(leaf, rois, scale, height, width, samples, mode), leaf, grad)[0]

    backward = inputs.fused("npu_roi_alignbk", plain)
    return Step(
        lambda: {
            "out": forward(images, rois, 0.25, 3, 4, 2, mode),
            "grad_images": backward(cotangent, rois, [2, channels, side, side], 4, 3, 0.25, 2, mode),
        }
    )


CASES = on_npu(
    roi_align,
    {f"npu_roi_align-{mode}": {"regions": 9, "channels": 3, "side": 17, "mode": mode} for mode in range(4)},
    ("float32",),
    probed=False,
)
