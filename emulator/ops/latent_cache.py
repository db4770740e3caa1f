"""Norm, rotary embedding and cache update of the keys of multi-head latent attention, in one operator. Knows no attention.

Definition: page npu_kv_rmsnorm_rope_cache of op-plugin's documentation, and, for the order of columns in the second version, op-plugin's
test for the device; computed in float32.
"""

import torch
from torch import Tensor

from emulator.operator import Out, aclnn
from emulator.ops.rms_norm import over_rms
from emulator.ops.rotary import even_then_odd, rotated

_MODES = ("Norm", "PA", "PA_BNSD", "PA_NZ", "PA_BLK_BNSD", "PA_BLK_NZ")


def _places(index: Tensor, batch: int, length: int, mode: str, block: int) -> Tensor:
    """The row of the cache, all its pages joined, of every token [batch, length]; negative where a token is to be left out."""
    if "BLK" not in mode:
        return index.reshape(batch, length)
    tokens = torch.arange(length)
    start = index.reshape(batch, -1)[:, tokens // block]
    return torch.where(start < 0, -1, start // block * block + tokens % block)


def _write(cache: Tensor, rows: Tensor, index: Tensor, mode: str) -> Tensor:
    """Return the cache with rows [B, 1, S, D] at their places."""
    batch, _, length, width = rows.shape
    cache = cache.clone()
    if mode == "Norm":
        for sequence, places in enumerate(index):
            cache[sequence, 0, places] = rows[sequence, 0].to(cache.dtype)
        return cache
    blocks, size = cache.shape[:2]
    places = _places(index, batch, length, mode, size).flatten()
    flat, wanted = rows.reshape(-1, width).to(cache.dtype), places >= 0
    page, offset = places[wanted] // size, places[wanted] % size
    if mode.endswith("NZ"):  # a page holds columns by 32 bytes, and of those one row after the other
        inner = 32 // cache.element_size()
        cache.view(blocks, width // inner, size, inner)[page, :, offset] = flat[wanted].view(-1, width // inner, inner)
    else:
        cache[page, offset, 0] = flat[wanted]
    return cache


def _stored(value: Tensor, scale: Tensor | None) -> Tensor:
    return value if scale is None else (value * scale.float()).round().clamp(-128, 127).to(torch.int8)


def _check(mode: str, *offsets: Tensor | None) -> None:
    if mode not in _MODES:
        raise ValueError(f"cache_mode {mode!r} is none of {', '.join(_MODES)}")
    if any(offset is not None for offset in offsets):
        raise NotImplementedError("k_rope_offset and c_kv_offset are reserved: no device supports them")


@aclnn
def KvRmsNormRopeCache(
    kv: Tensor,
    gamma: Tensor,
    cos: Tensor,
    sin: Tensor,
    index: Tensor,
    k_cache: Out,
    ckv_cache: Out,
    k_rope_scale: Tensor | None,
    c_kv_scale: Tensor | None,
    k_rope_offset: Tensor | None,
    c_kv_offset: Tensor | None,
    epsilon: float,
    cache_mode: str,
    is_output_kv: bool,
    k_rope: Out,
    c_kv: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """kv [B, 1, S, rms + rope]: the first part, normed, goes to ckv_cache, the second, turned, to k_cache; quantized if scales are given.

    Caches are [B, 1, length, D] (Norm, index [B, S]) or [blocks, size, 1, D] (PA, index [B * S], or [B * blocks] in the BLK modes).
    k_rope and c_kv are the same before the quantization, or zero if not asked for.
    """
    _check(cache_mode, k_rope_offset, c_kv_offset)
    size = gamma.shape[0]
    latent = over_rms(kv[..., :size], gamma, epsilon)[0] * gamma.float()
    turned = rotated(even_then_odd(kv[..., size:]), cos, sin, 0)
    caches = [
        _write(cache, _stored(value, scale), index, cache_mode)
        for cache, value, scale in ((k_cache, turned, k_rope_scale), (ckv_cache, latent, c_kv_scale))
    ]
    kept = (turned, latent) if is_output_kv else (torch.zeros_like(turned), torch.zeros_like(latent))
    return caches[0], caches[1], *kept


@aclnn
def KvRmsNormRopeCacheV2(
    kv: Tensor,
    gamma: Tensor,
    cos: Tensor,
    sin: Tensor,
    index: Tensor,
    k_cache: Out,
    ckv_cache: Out,
    k_rope_scale: Tensor | None,
    c_kv_scale: Tensor | None,
    k_rope_offset: Tensor | None,
    c_kv_offset: Tensor | None,
    v: Tensor,
    epsilon: float,
    cache_mode: str,
    is_output_kv: bool,
    k_rope: Out,
    c_kv: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As KvRmsNormRopeCache, for kv [B, 1, S, D] that is normed as a whole, its first columns then turned; v goes to ckv_cache."""
    _check(cache_mode, k_rope_offset, c_kv_offset)
    width = cos.shape[-1]
    whole = over_rms(kv, gamma, epsilon)[0] * gamma.float()
    keys = torch.cat((rotated(even_then_odd(whole[..., :width]), cos, sin, 0), whole[..., width:]), dim=-1)
    values = v.float()
    caches = [
        _write(cache, _stored(value, scale), index, cache_mode)
        for cache, value, scale in ((k_cache, keys, k_rope_scale), (ckv_cache, values, c_kv_scale))
    ]
    kept = (keys, values) if is_output_kv else (torch.zeros_like(keys), torch.zeros_like(values))
    return caches[0], caches[1], *kept
