"""npu_kv_rmsnorm_rope_cache: norm, rotation and the places in the cache, against their definition in float64."""

import pytest
import torch
import torch_npu
from torch import Tensor

from tests.emulator.ops.attention_definition import close, drawn
from tests.emulator.ops.test_rotary import angles, tables, turned

BATCH, LENGTH, SIZE = 2, 6, 4  # tokens; rows of a page
TOLERANCE = 2**-7


def rms(x: Tensor, gamma: Tensor) -> Tensor:
    return x.double() * (x.double().square().mean(-1, keepdim=True) + 1e-5).rsqrt() * gamma.double()


def rotated(x: Tensor, angle: Tensor) -> Tensor:
    return torch.cat(turned(x[..., ::2].double(), x[..., 1::2].double(), angle), dim=-1)


def of_pages(cache: Tensor, mode: str) -> Tensor:
    """Rows of the cache, all pages joined."""
    pages, size, _, width = cache.shape
    if mode.endswith("NZ"):
        inner = 32 // cache.element_size()
        cache = cache.view(pages, width // inner, size, inner).transpose(1, 2)
    return cache.reshape(-1, width)


@pytest.mark.parametrize("mode", ["Norm", "PA", "PA_BNSD", "PA_NZ", "PA_BLK_BNSD", "PA_BLK_NZ"])
@pytest.mark.parametrize("quantized", [False, True])
def test_first_version(mode: str, quantized: bool) -> None:
    kv, gamma, angle = (
        drawn(BATCH, 1, LENGTH, 96, dtype=torch.bfloat16),
        drawn(64, seed=1, dtype=torch.bfloat16),
        angles(BATCH, 1, LENGTH, 16),
    )
    cos, sin = (table.bfloat16() for table in tables(angle, "half"))
    dtype = torch.int8 if quantized else torch.bfloat16
    scales = [torch.linspace(5, 30, width) for width in (32, 64)] if quantized else [None, None]
    if mode == "Norm":
        index = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 0, 2, 4, 6, 1]])
        caches = [torch.full((BATCH, 1, 8, width), 9).to(dtype) for width in (32, 64)]
    else:
        index = torch.tensor([8, 0, 12, 4]) if "BLK" in mode else torch.tensor([3, 1, 14, -1, 7, 8, 0, 2, 4, 15, 5, 6])
        caches = [torch.full((4, SIZE, 1, width), 9).to(dtype) for width in (32, 64)]
    moved = [cache.npu() for cache in caches]
    result = torch_npu.npu_kv_rmsnorm_rope_cache(
        kv.npu(), gamma.npu(), cos.npu(), sin.npu(), index.npu(), *moved, cache_mode=mode, is_output_kv=True,
        k_rope_scale=None if scales[0] is None else scales[0].npu(), c_kv_scale=None if scales[1] is None else scales[1].npu(),
    )  # fmt: skip
    first, second = kv[..., 64:].double(), kv[..., :64]
    pairs = torch.cat((first[..., ::2], first[..., 1::2]), dim=-1)
    halves = torch.cat((-first[..., 1::2], first[..., ::2]), dim=-1)
    values = [pairs * cos.double() + halves * sin.double(), rms(second, gamma)]
    for cache, before, value, scale, kept in zip(moved, caches, values, scales, result[2:], strict=True):
        close(kept, value, TOLERANCE)
        stored = (value if scale is None else (value * scale).round().clamp(-128, 127))[:, 0]
        if mode == "Norm":
            rows, expected, places = cache.cpu()[:, 0], before[:, 0].double(), index
        else:
            rows = of_pages(cache.cpu(), mode).unsqueeze(0)
            expected, stored = before.reshape(1, -1, before.shape[-1]).double(), stored.reshape(1, -1, stored.shape[-1])
            tokens = torch.arange(LENGTH)
            places = (index.view(BATCH, -1)[:, tokens // SIZE] + tokens % SIZE if "BLK" in mode else index).reshape(1, -1)
        for sequence, row in enumerate(places):
            expected[sequence, row[row >= 0]] = stored[sequence, row >= 0]
        close(rows.npu(), expected, 1.001 / float(expected.abs().max()) if quantized else TOLERANCE)


def test_rotation_is_that_of_pairs() -> None:
    kv, angle = drawn(1, 1, 3, 96), angles(1, 1, 3, 16)
    cos, sin = (table.float().npu() for table in tables(angle, "half"))
    cache, latent = torch.zeros(1, 1, 3, 32).npu(), torch.zeros(1, 1, 3, 64).npu()
    torch_npu.npu_kv_rmsnorm_rope_cache(kv.npu(), torch.ones(64).npu(), cos, sin, torch.arange(3).view(1, 3).npu(), cache, latent)
    close(cache, rotated(kv[..., 64:], angle))


def test_second_version_norms_all_columns_and_turns_the_first() -> None:
    kv, v, gamma, angle = (
        drawn(BATCH, 1, LENGTH, 192),
        drawn(BATCH, 1, LENGTH, 128, seed=2),
        drawn(192, seed=1),
        angles(BATCH, 1, LENGTH, 32),
    )
    cos, sin = (table.float().npu() for table in tables(angle, "half"))
    cache, values, index = torch.zeros(4, SIZE, 1, 192).npu(), torch.zeros(4, SIZE, 1, 128).npu(), torch.arange(12) + 2
    torch_npu.npu_kv_rmsnorm_rope_cache(kv.npu(), gamma.npu(), cos, sin, index.npu(), cache, values, v=v.npu(), cache_mode="PA")
    whole = rms(kv, gamma)
    expected = torch.cat((rotated(whole[..., :64], angle), whole[..., 64:]), dim=-1)
    close(of_pages(cache, "PA")[2:14], expected.reshape(12, 192))
    close(of_pages(values, "PA")[2:14], v.double().reshape(12, 128))
    assert not of_pages(cache, "PA")[:2].cpu().any()
