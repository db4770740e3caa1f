"""Keys of multi-head latent attention on their way into the cache: norm, rotation, place. Knows no device.

Sources: DeepSeek-V2 technical report, section 2.1; page of npu_kv_rmsnorm_rope_cache.
"""

import torch
from torch import Tensor

from reference.oracles.fused.normalization import rms_norm
from reference.oracles.fused.rotary import interleave_rope


def kv_rmsnorm_rope_cache(
    kv: Tensor,
    gamma: Tensor,
    cosine: Tensor,
    sine: Tensor,
    index: Tensor,
    k_cache: Tensor,
    ckv_cache: Tensor,
    *,
    epsilon: float,
    cache_mode: str = "Norm",
    is_output_kv: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return both caches, written in place, and the turned and the normalised part of kv [batch, 1, length, latent + rotary].

    The first columns, as many as gamma has, are normalised and go to `ckv_cache`; the others are turned (even before odd) and go to
    `k_cache`. In mode "Norm" a cache is [batch, 1, rows, width] and token t of sequence b goes to row `index[b, t]`; in "PA" it is
    [pages, size, 1, width] and all tokens have one list of rows over all pages, of which -1 is left out.
    """
    latent, rotary = torch.split(kv, [gamma.shape[0], kv.shape[-1] - gamma.shape[0]], -1)
    values = (interleave_rope(rotary, cosine, sine), rms_norm(latent, gamma, epsilon)[0])
    for cache, value in zip((k_cache, ckv_cache), values, strict=True):
        if cache_mode == "Norm":
            for b in range(index.shape[0]):
                cache[b, 0, index[b]] = value[b, 0].to(cache.dtype)
        else:
            rows, wanted = value.reshape(-1, value.shape[-1]), index >= 0
            cache.view(-1, cache.shape[-1])[index[wanted]] = rows[wanted].to(cache.dtype)
    return k_cache, ckv_cache, values[0], values[1]


def moved_in(target: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    """Return a copy of target in which `target[tuple(indices[i])]` is `updates[i]`; indices [count, depth] name different places."""
    out = target.clone()
    out[tuple(torch.unbind(indices.long(), -1))] = updates
    return out


def scatter_list(targets: list[Tensor], starts: Tensor, updates: Tensor) -> list[Tensor]:
    """Return copies of targets [rows, width], with the rows of `updates[i]` in the i-th from row `starts[i]` onward."""
    outs = [target.clone() for target in targets]
    for out, start, rows in zip(outs, starts.tolist(), updates, strict=True):
        out[start : start + rows.shape[0]] = rows
    return outs
