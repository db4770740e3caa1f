"""Attention for inference: npu_fused_infer_attention_score, npu_prompt_flash_attention, npu_incre_flash_attention. Knows no quantization.

Definitions: the pages of these names of op-plugin's documentation, CANN's pages aclnnFusedInferAttentionScoreV2 to -V4 (ops-transformer):

    out = softmax(mask(scale * (query @ key^T) + pse_shift)) @ value

in float32, rounded once; rows that are discarded as a whole are as in emulator/ops/attention.py. Every sequence of a batch has its own
lengths of valid queries and keys; what is beyond is zero, and its log-sum-exp infinite. Keys and values are a tensor, a list of one for
each sequence, or pages that a block table joins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from emulator.operator import plain
from emulator.ops.attention import LOWEST, Block, attend
from emulator.ops.attention_geometry import ALL, BAND, DEFAULT, discarded, join_heads, lengths, split_heads
from emulator.ops.attention_sequences import following, one_of, padded, pages

_QUANTIZATION = (
    "dequant_scale1",
    "quant_scale1",
    "dequant_scale2",
    "quant_scale2",
    "quant_offset2",
    "antiquant_scale",
    "antiquant_offset",
    "key_antiquant_scale",
    "key_antiquant_offset",
    "value_antiquant_scale",
    "value_antiquant_offset",
    "key_rope_antiquant_scale",
    "dequant_scale_query",
)
_UNUSED = ("antiquant_mode", "key_antiquant_mode", "value_antiquant_mode", "query_quant_mode")
# A parameter's C type, by its name here. Not in it: outputs, which are "o".
_LETTERS = {
    **dict.fromkeys(("key", "value"), "T"),
    **dict.fromkeys(("q_lengths", "kv_lengths", "prefix_length"), "I"),
    **dict.fromkeys(("heads", "before", "after", "kv_heads", "sparse_mode", "inner_precise", "block_size", *_UNUSED), "i"),
    "scale": "d",
    "layout": "z",
    "with_lse": "b",
}


@dataclass(frozen=True)
class Inference:
    """The arguments of a call; those that an operator lacks have what it assumes."""

    query: Tensor
    key: Sequence[Tensor]
    value: Sequence[Tensor]
    pse: Tensor | None
    mask: Tensor | None
    heads: int
    scale: float
    layout: str
    kv_heads: int
    q_lengths: Sequence[int] | None = None
    kv_lengths: Sequence[int] | None = None
    before: int = 1 << 40
    after: int = 1 << 40
    sparse_mode: int = DEFAULT
    inner_precise: int = 0
    block_table: Tensor | None = None
    block_size: int = 0
    query_padding: Tensor | None = None
    kv_padding: Tensor | None = None
    key_prefix: Tensor | None = None
    value_prefix: Tensor | None = None
    prefix_length: Sequence[int] | None = None
    query_rope: Tensor | None = None
    key_rope: Tensor | None = None
    sink: Tensor | None = None
    with_lse: bool = False

    @property
    def layouts(self) -> tuple[str, str]:
        """Of the query, and of the result."""
        first, _, second = self.layout.partition("_")
        return first, second or first

    @property
    def packed(self) -> bool:
        """Whether sequences lie one after the other, without padding."""
        return self.layouts[0] in ("TND", "NTD")


def _as_bnsd(x: Tensor, layout: str, heads: int) -> Tensor:
    """[B, N, S, D]; a packed batch is one sequence."""
    match layout:
        case "NTD" | "NSD":
            return x.unsqueeze(0)
        case _:
            return split_heads(x, layout, heads)


def _laid_out(x: Tensor, layout: str) -> Tensor:
    match layout:
        case "NTD" | "NSD":
            return x.squeeze(0)
        case "NBSD":
            return x.transpose(0, 1)
        case _:
            return join_heads(x, layout)


def _keys(call: Inference, given: Sequence[Tensor], index: int, span: slice, heads: int) -> Tensor:
    """[N, S, D], float32: the valid keys, values or rotary parts of keys of a sequence."""
    if call.block_table is not None:
        return pages(given[0], call.block_table[index], span.stop, heads, call.block_size).float()
    if len(given) > 1:
        return _as_bnsd(given[index], call.layouts[0], heads)[0, :, span].float()
    return _as_bnsd(given[0], call.layouts[0], heads)[0 if call.packed else index, :, span].float()


def _with_prefix(call: Inference, keys: Tensor, prefix: Tensor | None, heads: int) -> Tensor:
    if prefix is None:
        return keys
    shared = _as_bnsd(prefix, call.layouts[0], heads)[0].float()
    return torch.cat((shared[:, : call.prefix_length[0] if call.prefix_length else None], keys), dim=1)


def _spans(call: Inference, query: Tensor, kv_heads: int) -> list[tuple[slice, slice]]:
    """Where the valid queries and keys of every sequence lie."""
    if call.packed:
        if not call.q_lengths or not call.kv_lengths:
            raise ValueError(f"input_layout {call.layout} needs actual_seq_lengths and actual_seq_lengths_kv")
        q = following(lengths(call.q_lengths))
        if call.block_table is None:
            return list(zip(q, following(lengths(call.kv_lengths)), strict=True))
        return list(zip(q, [slice(0, length) for length in call.kv_lengths[: len(q)]], strict=True))
    batch, _, width, _ = query.shape
    if call.block_table is not None:
        if not call.kv_lengths:
            raise ValueError("block_table needs actual_seq_lengths_kv")
        kv = [slice(0, length) for length in one_of(call.kv_lengths, batch, "actual_seq_lengths_kv")]
    else:
        many = call.key if len(call.key) > 1 else [call.key[0]] * batch
        widths = [_as_bnsd(key, call.layouts[0], kv_heads).shape[2] for key in many]
        kv = padded(widths, call.kv_lengths, call.kv_padding, "actual_seq_lengths_kv")
    # where there is one query a sequence, its length and its padding have no effect
    return list(
        zip(padded([width] * batch, call.q_lengths if width > 1 else None, call.query_padding, "actual_seq_lengths"), kv, strict=True)
    )


def _mask(call: Inference, index: int, single: bool, queries: slice, keys: slice) -> Tensor | None:
    """The mask of a sequence, [1, 1, queries, keys], or a template as it is."""
    if call.mask is None or (not single and call.sparse_mode not in (DEFAULT, ALL)):
        return call.mask
    mask = call.mask
    if single:
        mask = mask.reshape(mask.shape[0], 1, 1, mask.shape[-1])
    elif mask.dim() < 4:
        mask = mask.reshape(-1, 1, *mask.shape[-2:])
    if call.packed:
        queries, keys = slice(0, queries.stop - queries.start), slice(0, keys.stop - keys.start)
    return mask[0 if mask.shape[0] == 1 else index, :, queries, keys].unsqueeze(0)


def _infer(call: Inference) -> list[Tensor]:
    kv_heads = call.kv_heads or call.heads
    query = _as_bnsd(call.query, call.layouts[0], call.heads)
    if query.shape[1] != call.heads:
        raise ValueError(f"num_heads {call.heads} is not the query's {query.shape[1]}")
    if call.query_rope is not None:
        query = torch.cat((query, _as_bnsd(call.query_rope, call.layouts[0], call.heads)), dim=-1)
    rope = None if call.key_rope is None else [call.key_rope]
    single = query.shape[2] == 1 and not call.packed and rope is None  # the sparse mode has no effect then
    out: Tensor | None = None
    lse = torch.full((*query.shape[:3], 1), torch.inf)
    for index, (queries, keys) in enumerate(_spans(call, query, kv_heads)):
        key, value = (_keys(call, given, index, keys, kv_heads) for given in (call.key, call.value))
        if out is None:
            out = torch.zeros(*query.shape[:3], value.shape[-1])
        if rope is not None:
            key = torch.cat((key, _keys(call, rope, index, keys, kv_heads)), dim=-1)
        key, value = (_with_prefix(call, *pair, kv_heads) for pair in ((key, call.key_prefix), (value, call.value_prefix)))
        place = 0 if call.packed else index
        rows = query[place, :, queries].float()
        if not rows.shape[1] or not key.shape[1]:
            continue
        columns = slice(keys.start, keys.start + key.shape[1])
        shape = (1, *rows.shape[:2], key.shape[1])
        discard, barren = discarded(
            _mask(call, index, single, queries, columns), ALL if single else call.sparse_mode, shape, call.before, call.after, ()
        )
        bias = None
        if call.pse is not None:
            bias = call.pse[0 if call.pse.shape[0] == 1 else index, :, queries, columns].float().unsqueeze(0)
        block = Block(
            query=rows.unsqueeze(0),
            key=key.unsqueeze(0),
            value=value.unsqueeze(0),
            scale=call.scale,
            discard=discard,
            empty_rows_are_zero=barren or call.inner_precise in (2, 3),
            bias=bias,
            sink=None if call.sink is None else call.sink.float().view(1, -1, 1, 1),
        )
        result, top, total = attend(block)
        out[place, :, queries] = result[0]
        lse[place, :, queries] = torch.where(top == LOWEST, torch.inf, top + total.log())[0]
    if out is None:
        raise ValueError("there is no sequence")
    if not call.with_lse:
        lse = torch.zeros(0)
    elif call.packed:
        lse = lse[0].transpose(0, 1)
    return [_laid_out(out, call.layouts[1]), lse]


def _named(arguments: dict[str, Any]) -> Inference:
    for argument in _QUANTIZATION:
        if arguments.get(argument) is not None:
            raise NotImplementedError(f"{argument}: quantized attention is not emulated")
    key = arguments["key"]
    for tensor in (arguments["query"], *(key if isinstance(key, list) else [key])):
        if not tensor.is_floating_point():
            raise NotImplementedError(f"attention over {tensor.dtype} is not emulated")
    known = {field.name for field in fields(Inference)}
    kept = {argument: value for argument, value in arguments.items() if argument in known}
    kept.update({side: kept[side] if isinstance(kept[side], list) else [kept[side]] for side in ("key", "value")})
    call = Inference(**kept)
    if call.sparse_mode not in range(BAND + 1):
        raise ValueError(f"sparse_mode {call.sparse_mode} is not one of 0 to 4")
    if call.key_prefix is not None and call.mask is not None and call.sparse_mode not in (DEFAULT, ALL):
        raise NotImplementedError("key_shared_prefix with a sparse_mode other than 0 and 1 is not emulated")
    return call


def _operator(name: str, parameters: str, outputs: int, **letters: str) -> None:
    """Register an operator by the names of its parameters, in the C call's order, before its outputs."""
    names = parameters.split()
    signature = "".join(letters.get(parameter) or _LETTERS.get(parameter, "t") for parameter in names) + "o" * outputs

    def run(*arguments: Any) -> Any:
        results = _infer(_named(dict(zip(names, arguments, strict=True))))
        return results if outputs == 2 else results[0]

    plain(name, signature, run)


_QUANTS = "dequant_scale1 quant_scale1 dequant_scale2 quant_scale2 quant_offset2"
_FUSED = (
    f"query key value pse mask q_lengths kv_lengths {_QUANTS} antiquant_scale antiquant_offset block_table query_padding kv_padding "
    "key_antiquant_scale key_antiquant_offset value_antiquant_scale value_antiquant_offset key_prefix value_prefix prefix_length"
)
_RULES = (
    "heads scale before after layout kv_heads sparse_mode inner_precise block_size antiquant_mode with_lse key_antiquant_mode "
    "value_antiquant_mode"
)
_operator("FusedInferAttentionScoreV2", f"{_FUSED} {_RULES}", 2)
_operator("FusedInferAttentionScoreV3", f"{_FUSED} query_rope key_rope key_rope_antiquant_scale {_RULES}", 2)
_operator(
    "FusedInferAttentionScoreV4",
    f"{_FUSED} query_rope key_rope key_rope_antiquant_scale dequant_scale_query sink {_RULES} query_quant_mode",
    2,
)
_operator(
    "PromptFlashAttentionV3",
    f"query key value pse mask q_lengths kv_lengths {_QUANTS} heads scale before after layout kv_heads sparse_mode inner_precise",
    1,
    key="t",
    value="t",
)
_operator(
    "IncreFlashAttentionV4",
    f"query key value pse mask kv_lengths {_QUANTS} antiquant_scale antiquant_offset block_table kv_padding heads scale layout kv_heads "
    "block_size inner_precise",
    1,
)
