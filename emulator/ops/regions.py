"""Pooling of regions of interest, and its backward. Knows no box and no overlap.

A region is sampled bilinearly at a grid, so its pooling is a product: weights of the rows, the image, weights of the columns.
"""

import math

import torch
from torch import Tensor

from emulator.operator import Float32, Ints, Out, aclnn


def _weights(start: float, size: float, bins: int, samples: int, length: int) -> Tensor:
    """Return [bins, length]: what each pixel of a row or column counts in each bin, for samples spaced evenly within the bin."""
    samples = samples or math.ceil(size / bins)
    places = start + (torch.arange(bins)[:, None] + (torch.arange(samples) + 0.5) / samples) * (size / bins)
    inside = ((places >= -1) & (places <= length)) / samples
    places = places.clamp(0, length - 1)
    low = places.long()
    share = (places - low) * inside
    weights = torch.zeros(bins, length)
    weights.scatter_add_(1, low, inside - share)
    return weights.scatter_add_(1, (low + 1).clamp(max=length - 1), share)


def _regions(
    rois: Tensor, scale: float, sizes: tuple[int, int], pooled: tuple[int, int], samples: int, mode: int
) -> list[tuple[int, Tensor, Tensor]]:
    """Return the image, the weights of its rows and those of its columns for every region.

    `mode`: 0 as it is, 1 ends a pixel later, 2 half a pixel less, 3 likewise; all but 2 are at least one pixel wide.
    """
    found = []
    for image, *corners in rois.float().tolist():
        left, top, right, bottom = (corner * scale - (0.5 if mode >= 2 else 0.0) for corner in corners)
        width, height = (end - start + (scale if mode == 1 else 0.0) for start, end in ((left, right), (top, bottom)))
        if mode != 2:
            width, height = max(width, 1.0), max(height, 1.0)
        rows = _weights(top, height, pooled[0], samples, sizes[0])
        found.append((int(image), rows, _weights(left, width, pooled[1], samples, sizes[1])))
    return found


@aclnn
def ROIAlign(self: Tensor, rois: Tensor, scale: Float32, height: int, width: int, samples: int, mode: int, out: Out) -> Tensor:
    """self [N, C, H, W], rois [K, 5]: image, x1, y1, x2, y2; out [K, C, height, width]: means of samples^2 bilinear samples, in float32.

    Source: He et al., Mask R-CNN (2017); hicann/ops-cv, roi_align (what `mode` means) and its golden function.
    """
    images = self.float()
    regions = _regions(rois, scale, (self.shape[2], self.shape[3]), (height, width), samples, mode)
    pooled = [torch.einsum("ph,chw,qw->cpq", rows, images[image], columns) for image, rows, columns in regions]
    return torch.stack(pooled) if pooled else torch.zeros(out.shape)


@aclnn
def ROIAlignBackward(
    grad: Tensor, rois: Tensor, shape: Ints, width: int, height: int, scale: Float32, samples: int, mode: int, out: Out
) -> Tensor:
    """The derivative of ROIAlign with respect to its images, in float32. Source: as of ROIAlign."""
    images = torch.zeros(shape)
    regions = _regions(rois, scale, (shape[2], shape[3]), (height, width), samples, mode)
    for one, (image, rows, columns) in zip(grad.float(), regions, strict=True):
        images[image] += torch.einsum("ph,cpq,qw->chw", rows, one, columns)
    return images
