"""Pooling of regions of an image by bilinear samples. Knows no device.

Source: He et al. 2017 (RoIAlign), section 3; page of npu_roi_align for `roi_end_mode`.
"""

import torch
from torch import Tensor


def roi_align(images: Tensor, rois: Tensor, spatial_scale: float, height: int, width: int, samples: int, roi_end_mode: int) -> Tensor:
    """Return [regions, channels, height, width]: each cell is the mean of `samples` by `samples` bilinear samples.

    A region is (image, x1, y1, x2, y2) in units of which `1 / spatial_scale` make a pixel. `roi_end_mode` 1 makes it one such unit longer;
    2 and 3 shift it by half a pixel; but for 2 it is at least one pixel large.
    """
    shift, longer = (0.5 if roi_end_mode >= 2 else 0.0), (spatial_scale if roi_end_mode == 1 else 0.0)
    first, last = rois[:, 1:3] * spatial_scale - shift, rois[:, 3:5] * spatial_scale - shift + longer
    size = last - first if roi_end_mode == 2 else (last - first).clamp(min=1)
    pooled = []
    for roi, begin, extent in zip(rois, first, size, strict=True):
        image = images[int(roi[0])]
        y, x = (_places(begin[axis], extent[axis], cells, samples) for axis, cells in ((1, height), (0, width)))
        cells = torch.unflatten(torch.unflatten(_sampled(image, y, x), 2, (width, samples)), 1, (height, samples))
        pooled.append(cells.mean((2, 4)))
    return torch.stack(pooled)


def _places(begin: Tensor, extent: Tensor, cells: int, samples: int) -> Tensor:
    """Where the samples lie along one axis: in the middle of equal parts of the cells."""
    count = cells * samples
    return begin + (torch.arange(count, device=begin.device, dtype=begin.dtype) + 0.5) * extent / count


def _sampled(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear samples [channels, y, x]; 0 farther than a pixel outside, the border's value up to there."""
    weights = [_weights(place, size) for place, size in ((y, image.shape[1]), (x, image.shape[2]))]
    return torch.einsum("yh,chw,xw->cyx", weights[0].to(image.dtype), image, weights[1].to(image.dtype))


def _weights(place: Tensor, size: int) -> Tensor:
    """The weight of each of `size` pixels in a linear sample at each place."""
    inside = ((place >= -1) & (place <= size)).to(place.dtype)
    near = place.clamp(0, size - 1)
    pixel = torch.arange(size, device=place.device, dtype=place.dtype)
    return (1 - (near[:, None] - pixel).abs()).clamp(min=0) * inside[:, None]
