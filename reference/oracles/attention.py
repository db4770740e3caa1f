"""Scaled dot-product attention with masks and grouped heads, one sum after the other. Knows no dtype, device or fused kernel.

Source: Vaswani et al. 2017, eq. 1; grouped heads: Ainslie et al. 2023; masks as torch.nn.functional documents them.
"""

import math

import torch
from torch import Tensor

from reference.oracles.softmax import softmax


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False, enable_gqa: bool = False
) -> Tensor:
    """Return `softmax(query key^T / sqrt(width)) value`: [batch, heads, queries, width].

    `key` and `value` are [batch, kv_heads, keys, width]; with `enable_gqa`, head h attends with key head h // (heads / kv_heads).
    `attn_mask` is boolean, true where a key may be seen, or is added to the scores; it broadcasts to [batch, heads, queries, keys].
    `is_causal`: query i sees keys 0..i. A query that may see nothing gives zeros and passes no gradient, as torch.nn.functional
    does since 2.5.
    """
    if enable_gqa:
        group = query.shape[1] // key.shape[1]
        owner = torch.arange(query.shape[1], device=query.device) // group
        key, value = key[:, owner], value[:, owner]
    scores = torch.einsum("bhqw,bhkw->bhqk", query, key) / math.sqrt(query.shape[-1])
    if is_causal:
        rows, columns = (torch.arange(n, device=query.device) for n in scores.shape[-2:])
        attn_mask = rows[:, None] >= columns[None, :]
    if attn_mask is not None and attn_mask.is_floating_point():
        scores = scores + attn_mask
    elif attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    return torch.einsum("bhqk,bhkw->bhqw", softmax(scores, -1), value)
