"""Pooling of regions: what torch_npu's own tests expect of a device, and a plain loop in float64."""

import pytest
import torch
import torch_npu

G = torch.Generator().manual_seed(0)
IMAGES = torch.randn(2, 3, 6, 7, generator=G)
REGIONS = torch.tensor([[0, -2.0, -1.0, 22.0, 17.0], [1, 4.0, 6.0, 5.0, 30.0], [0, 0.0, 0.0, 27.0, 23.0], [1, 9.0, 9.0, 8.0, 8.5]])
SCALE = 0.25


def pixel(image, y, x):
    """Return the bilinear sample of an image [C, H, W]: 0 beyond a pixel outside."""
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return image.new_zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = image[:, top, left] * (left + 1 - x) + image[:, top, right] * (x - left)
    lower = image[:, bottom, left] * (left + 1 - x) + image[:, bottom, right] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


def definition(images, mode, samples=2, height=2, width=3):
    pooled = []
    for index, x1, y1, x2, y2 in REGIONS.tolist():
        shift, longer = (0.5 if mode >= 2 else 0), (SCALE if mode == 1 else 0)
        top, left = y1 * SCALE - shift, x1 * SCALE - shift
        size = [y2 * SCALE - shift + longer - top, x2 * SCALE - shift + longer - left]
        size = size if mode == 2 else [max(length, 1) for length in size]
        step = size[0] / height / samples, size[1] / width / samples
        cells = [
            [
                sum(
                    pixel(images[int(index)], top + (row * samples + i + 0.5) * step[0], left + (column * samples + j + 0.5) * step[1])
                    for i in range(samples)
                    for j in range(samples)
                )
                / samples**2
                for column in range(width)
            ]
            for row in range(height)
        ]
        pooled.append(torch.stack([torch.stack(row, -1) for row in cells], -2))
    return torch.stack(pooled)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_by_the_definition_with_its_gradient(mode):
    wide = IMAGES.double().requires_grad_()
    expected = definition(wide, mode)
    found = torch_npu.npu_roi_align(IMAGES.npu(), REGIONS.npu(), SCALE, 2, 3, 2, mode)
    torch.testing.assert_close(found.cpu(), expected.detach().float())
    upstream = torch.randn(found.shape, generator=G)
    expected.backward(upstream.double())
    gradient = torch_npu.npu_roi_alignbk(upstream.npu(), REGIONS.npu(), IMAGES.shape, 3, 2, SCALE, 2, mode)
    torch.testing.assert_close(gradient.cpu(), wide.grad.float())


def test_as_a_device_gives_it():
    """The numbers are those of op_plugin's test_roi_align.py and test_roi_align_backward.py (whose backward takes the other mode)."""
    image = torch.arange(1.0, 37).view(1, 1, 6, 6).npu()
    region = torch.tensor([[0, -2.0, -2.0, 22.0, 22.0]]).npu()
    found = torch_npu.npu_roi_align(image, region, 0.25, 3, 3, 2, 0)
    assert found.cpu().flatten().tolist() == [4.5, 6.5, 8.5, 16.5, 18.5, 20.5, 28.5, 30.5, 32.5]
    gradient = torch_npu.npu_roi_alignbk(found, region, image.shape, 3, 3, 0.25, 2)
    expected = torch.tensor([1.0786, 1.0557, 1.4942, 1.5248, 1.9226, 2.4709])
    torch.testing.assert_close(gradient.cpu()[0, 0, 0], expected, rtol=0, atol=1e-4)


def test_as_many_samples_as_pixels_and_no_region():
    found = torch_npu.npu_roi_align(IMAGES.npu(), REGIONS[2:3].npu(), SCALE, 2, 2, 0, 0)
    assert found.shape == (1, 3, 2, 2)
    assert torch_npu.npu_roi_align(IMAGES.npu(), REGIONS[:0].npu(), SCALE, 2, 2, 2, 0).shape == (0, 3, 2, 2)
