"""DeepSeek's sparse attention: each query attends to the keys chosen for it. Knows no way of choosing them.

Definitions: documentation of torch_npu (npu_sparse_flash_attention) and of CANN (aclnnSparseFlashAttentionV2, ...Grad), in float32.
query [..., heads, width] and key [..., key heads, width] may be joined by parts with rotary positions (query_rope, key_rope).
"""

import torch
from torch import Tensor

from emulator.operator import Out, aclnn
from emulator.ops.lightning_indexer import scattered
from emulator.ops.sparse_sequences import Pair, pairs, within

_ABSORBED = 2


def _joined(tensor: Tensor, rope: Tensor | None) -> Tensor:
    return tensor if rope is None else torch.cat([tensor, rope], -1)


def positions(blocks: Tensor, size: int, seen: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return the keys [rows, count * size] of the chosen blocks [rows, count], and which of these are any: none after the first -1."""
    any_left = (blocks >= 0).long().cumprod(-1).bool()
    index = (blocks.long().unsqueeze(-1) * size + torch.arange(size)).flatten(1)
    there = any_left.repeat_interleave(size, 1) & (index < seen.unsqueeze(-1))
    return index.clamp(0, max(length - 1, 0)), there


def _probabilities(scores: Tensor, there: Tensor, sinks: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return softmax, its maximum and its sum; a row without keys has 0, and with a sink the sink alone."""
    masked = scores.masked_fill(~there.unsqueeze(1), float("-inf"))
    largest = masked.amax(-1, keepdim=True)
    if sinks is not None:
        largest = torch.maximum(largest, sinks.float().unsqueeze(-1))
    largest = torch.where(torch.isinf(largest), 0.0, largest)
    exponentials = torch.exp(masked - largest)
    total = exponentials.sum(-1, keepdim=True)
    if sinks is not None:
        total = total + torch.exp(sinks.float().unsqueeze(-1) - largest)
    return exponentials / torch.where(total == 0, 1.0, total), largest.squeeze(-1), total.squeeze(-1)


def _attended(
    query: Tensor, key: Tensor, value: Tensor, indices: Tensor, found: list[Pair], sinks: Tensor | None, scale: float, size: int,
    shapes: tuple[torch.Size, torch.Size],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    out, shape = torch.zeros(shapes[0]), shapes[1]
    stacked = query.dim() == 4
    largest, total = (torch.zeros(shape if len(shape) > 1 else _statistics_shape(query, key)) for _ in range(2))
    heads, group = key.shape[-2], query.shape[-2] // key.shape[-2]
    for pair in found:
        keys, values = pair.of_keys(key).float(), pair.of_keys(value).float()
        for rows in pair.pieces(indices.shape[-1] * size * (query.shape[-2] + key.shape[-1] + value.shape[-1])):
            place, seen = within(pair.queries, rows), pair.seen(rows)
            for head in range(heads):
                part = slice(head * group, (head + 1) * group)
                index, there = positions(indices[place][:, head], size, seen, pair.length)
                if not pair.length:
                    continue
                scores = query[place][:, part].float() @ keys[:, head][index].mT * scale
                weights, top, summed = _probabilities(scores, there, None if sinks is None else sinks[part])
                out[place][:, part] = weights @ values[:, head][index]
                statistics = (pair.queries[0], head, place[1]) if stacked else (head, place)
                largest[statistics], total[statistics] = top, summed
    return out, largest, total


def _statistics_shape(query: Tensor, key: Tensor) -> tuple[int, ...]:
    heads, group = key.shape[-2], query.shape[-2] // key.shape[-2]
    return (len(query), heads, query.shape[1], group) if query.dim() == 4 else (heads, len(query), group)


@aclnn
def SparseFlashAttentionV2(
    query: Tensor, key: Tensor, value: Tensor, indices: Tensor, block_table: Tensor | None, query_lengths: Tensor | None,
    key_lengths: Tensor | None, query_rope: Tensor | None, key_rope: Tensor | None, sinks: Tensor | None, scale: float, block_size: int,
    query_layout: str, key_layout: str, sparse_mode: int, pre_tokens: int, next_tokens: int, attention_mode: int, return_lse: bool,
    out: Out, softmax_max: Out, softmax_sum: Out,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Attention to the blocks of block_size keys that indices [..., key heads, count] name, which sparse_mode may narrow; sinks [heads].

    The statistics are [batch, key heads, length, group] or, in TND, [key heads, all lengths, group].
    """
    if attention_mode not in (0, _ABSORBED):
        raise ValueError(f"attention_mode is {attention_mode}; documented is 2 (absorbed MLA)")
    left, right = _joined(query, query_rope), _joined(key, key_rope)
    found = pairs(query, key, (query_layout, key_layout), query_lengths, key_lengths, block_table, sparse_mode)
    result, top, summed = _attended(left, right, value, indices, found, sinks, scale, block_size, (out.shape, softmax_max.shape))
    return (result, top, summed) if return_lse else (result, softmax_max, softmax_sum)


@aclnn
def SparseFlashAttention(
    query: Tensor, key: Tensor, value: Tensor, indices: Tensor, block_table: Tensor | None, query_lengths: Tensor | None,
    key_lengths: Tensor | None, query_rope: Tensor | None, key_rope: Tensor | None, scale: float, block_size: int,
    query_layout: str, key_layout: str, sparse_mode: int, pre_tokens: int, next_tokens: int, attention_mode: int, return_lse: bool,
    out: Out, softmax_max: Out, softmax_sum: Out,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """As SparseFlashAttentionV2, without sinks."""
    return SparseFlashAttentionV2(
        query, key, value, indices, block_table, query_lengths, key_lengths, query_rope, key_rope, None, scale, block_size, query_layout,
        key_layout, sparse_mode, pre_tokens, next_tokens, attention_mode, return_lse, out, softmax_max, softmax_sum,
    )  # fmt: skip


def _dequantized(key: Tensor, tile: int, rope: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the keys in float32, with and without their rotary part, of bytes: int8, the rotary part in dtype, a float32 scale a tile."""
    spare = rope * dtype.itemsize
    width = (key.shape[-1] - spare) * tile // (tile + 4)
    if width % tile or width + spare + width // tile * 4 != key.shape[-1]:
        raise ValueError(f"{key.shape[-1]} bytes are no key with a rotary part of {rope} and a scale for each {tile} numbers")
    integers, rotary, scales = torch.split(key, [width, spare, width // tile * 4], -1)
    factors = scales.contiguous().view(torch.float32).repeat_interleave(tile, -1)
    plain = integers.float() * factors
    return torch.cat([plain, rotary.contiguous().view(dtype).float()], -1), plain


@aclnn
def KvQuantSparseFlashAttention(
    query: Tensor, key: Tensor, value: Tensor, indices: Tensor, key_scale: Tensor | None, value_scale: Tensor | None,
    block_table: Tensor | None, query_lengths: Tensor | None, key_lengths: Tensor | None, scale: float, key_mode: int, value_mode: int,
    block_size: int, query_layout: str, key_layout: str, sparse_mode: int, pre_tokens: int, next_tokens: int, attention_mode: int,
    scale_mode: int, tile: int, rope: int, out: Out,
) -> Tensor:  # fmt: skip
    """Sparse attention in which a key is [width int8, its rotary part, width / tile float32 scales], and the value is the key's first part.

    Documentation of torch_npu: npu_kv_quant_sparse_flash_attention; `value` repeats what key holds, and is not read.
    """
    if (key_mode, value_mode, attention_mode, scale_mode) != (2, 2, _ABSORBED, 1) or key_scale is not None or value_scale is not None:
        raise ValueError(
            "documented are key_quant_mode 2, value_quant_mode 2, attention_mode 2, quant_scale_repo_mode 1, and no scales apart"
        )
    if key.dtype != torch.int8:
        raise NotImplementedError(f"keys of {key.dtype}")
    keys, values = _dequantized(key, tile, rope, query.dtype)
    found = pairs(query, key, (query_layout, key_layout), query_lengths, key_lengths, block_table, sparse_mode)
    return _attended(query, keys, values, indices, found, None, scale, block_size, (out.shape, torch.Size()))[0]


@aclnn
def SparseFlashAttentionGrad(
    query: Tensor, key: Tensor, value: Tensor, indices: Tensor, grad: Tensor, attention: Tensor, softmax_max: Tensor, softmax_sum: Tensor,
    query_lengths: Tensor | None, key_lengths: Tensor | None, query_rope: Tensor | None, key_rope: Tensor | None, scale: float,
    block_size: int, layout: str, sparse_mode: int, pre_tokens: int, next_tokens: int, deterministic: bool,
    grad_query: Out, grad_key: Out, grad_value: Out, grad_query_rope: Out, grad_key_rope: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients, from the statistics that the attention gave with return_softmax_lse; sinks have none."""
    if not softmax_max.numel():
        raise ValueError("the gradient needs the statistics of the softmax: return_softmax_lse=True")
    left, right = _joined(query, query_rope), _joined(key, key_rope)
    found = pairs(query, key, (layout, layout), query_lengths, key_lengths, None, sparse_mode)
    grads = [torch.zeros(tensor.shape) for tensor in (left, right, value)]
    heads, group = key.shape[-2], query.shape[-2] // key.shape[-2]
    for pair in found:
        for rows in pair.pieces(indices.shape[-1] * block_size * (query.shape[-2] + right.shape[-1] + value.shape[-1])):
            place, seen = within(pair.queries, rows), pair.seen(rows)
            for head in range(heads if pair.length else 0):
                part = slice(head * group, (head + 1) * group)
                index, there = positions(indices[place][:, head], block_size, seen, pair.length)
                statistics = (pair.queries[0], head, place[1]) if query.dim() == 4 else (head, place)
                top, summed = (tensor[statistics].float().unsqueeze(-1) for tensor in (softmax_max, softmax_sum))
                queries, keys, values = (
                    left[place][:, part].float(),
                    right[pair.keys][:, head][index].float(),
                    value[pair.keys][:, head][index].float(),
                )
                scores = (queries @ keys.mT * scale).masked_fill(~there.unsqueeze(1), float("-inf"))
                weights = torch.exp(scores - top) / torch.where(summed == 0, 1.0, summed)
                given = grad[place][:, part].float()
                inner = given @ values.mT - (given * attention[place][:, part].float()).sum(-1, keepdim=True)
                slope = weights * inner * scale
                grads[0][place][:, part] = slope @ keys
                scattered(grads[1][pair.keys][:, head], index, slope.mT @ queries)
                scattered(grads[2][pair.keys][:, head], index, weights.mT @ given)
    width = query.shape[-1]
    ropes = (grads[0][..., width:], grads[1][..., width:]) if query_rope is not None else (grad_query_rope, grad_key_rope)
    return grads[0][..., :width], grads[1][..., :width], grads[2], *ropes
