"""Attention for training, forward: npu_fusion_attention in all its versions, and scaled_dot_product_attention by it. Knows no gradient.

Definitions: page npu_fusion_attention of op-plugin's documentation, CANN's pages aclnnFlashAttentionScore, -V2, -V3 and
aclnnFlashAttentionVarLenScore, -V2 to -V5 (ops-transformer):

    out = dropout(softmax(mask(scale * (query @ key^T + pse)))) @ value

All is computed in float32 from the inputs as they are, and rounded once. A discarded score becomes the lowest float32; so a row that is
discarded as a whole is uniform, and its result the mean of the values. It is zero where the kernel looks for such rows: inner_precise 2,
or a sparse mode whose parameters leave a row empty. Statistics have a last dimension of 8, all the same: the maximum (of the scaled and
masked scores and the sink) and the sum of exponentials; a row found empty has the sum 3.4e38.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from emulator.operator import plain
from emulator.ops.attention_geometry import BAND_LEFT_UP_CAUSAL, PREFIX_COMPRESSED, discarded, join_heads, lengths, split_heads
from emulator.ops.dropout import kept_by

LOWEST = torch.finfo(torch.float32).min
_STATISTIC = 8  # how often the device repeats a statistic

# A parameter's C type, by its name here. Not in it: outputs, which are "o".
_LETTERS = {
    **dict.fromkeys(("scale", "keep_prob"), "d"),
    **dict.fromkeys(("before", "after", "heads", "inner_precise", "sparse_mode", "pse_type"), "i"),
    **dict.fromkeys(("prefix", "q_ends", "kv_ends", "q_start", "kv_start"), "I"),
    **dict.fromkeys(("layout", "softmax_layout"), "z"),
}


@dataclass(frozen=True)
class Attention:
    """The arguments of a call; those that an older version of an operator lacks have what it assumes."""

    query: Tensor
    key: Tensor
    value: Tensor
    pse: Tensor | None
    drop_mask: Tensor | None
    padding_mask: Tensor | None
    mask: Tensor | None
    prefix: Sequence[int] | None
    scale: float
    keep_prob: float
    before: int
    after: int
    heads: int
    layout: str
    inner_precise: int
    sparse_mode: int
    pse_type: int = 1
    query_rope: Tensor | None = None
    key_rope: Tensor | None = None
    sink: Tensor | None = None
    q_ends: Sequence[int] | None = None
    kv_ends: Sequence[int] | None = None
    q_start: Sequence[int] | None = None
    kv_start: Sequence[int] | None = None
    softmax_layout: str = ""
    # of the backward only
    dy: Tensor | None = None
    softmax_max: Tensor | None = None
    softmax_sum: Tensor | None = None
    softmax_in: Tensor | None = None
    attention_in: Tensor | None = None

    def __post_init__(self) -> None:
        if self.padding_mask is not None:
            raise NotImplementedError("padding_mask is reserved: no device supports it")
        if self.layout == "TND" and not (self.q_ends and self.kv_ends and len(self.q_ends) == len(self.kv_ends)):
            raise ValueError("input_layout TND needs actual_seq_qlen and actual_seq_kvlen of the same length")
        if self.pse_type not in range(4):
            raise ValueError(f"pse_type {self.pse_type} is not one of 0 to 3")
        if self.keep_prob != 1 and self.drop_mask is None:
            raise ValueError("keep_prob below 1 needs a dropout mask")


@dataclass(frozen=True)
class Block:
    """What attends to itself alone: the whole batch, or one sequence of a packed one. Tensors are float32 and [B, N, S, D]."""

    query: Tensor
    key: Tensor
    value: Tensor
    scale: float
    discard: Tensor | None = None
    empty_rows_are_zero: bool = False
    bias: Tensor | None = None
    bias_is_scaled: bool = False
    sink: Tensor | None = None
    kept: Tensor | None = None  # by the dropout, whose scale is 1 / keep_prob
    keep_prob: float = 1
    queries: slice = field(default_factory=lambda: slice(None))  # where it lies in a packed batch
    keys: slice = field(default_factory=lambda: slice(None))

    @property
    def group(self) -> int:
        """How many heads of the query share one of the key."""
        return self.query.shape[1] // self.key.shape[1]


def _heads_of_key(call: Attention) -> int:
    """Where a layout joins heads and widths, this many heads of the query's width make the key."""
    return call.key.shape[-1] * call.heads // (call.query.shape[-1] or 1)


def blocks(call: Attention) -> Iterator[Block]:
    """Split a call. Sequences without queries or without keys are left out: their results are zero."""
    query = call.query if call.query_rope is None else torch.cat((call.query, call.query_rope), dim=-1)
    key = call.key if call.key_rope is None else torch.cat((call.key, call.key_rope), dim=-1)
    if call.layout != "TND":
        if call.q_ends or call.kv_ends:
            raise ValueError("actual_seq_qlen and actual_seq_kvlen go with input_layout TND")
        q = split_heads(query, call.layout, call.heads).float()
        k, v = (split_heads(x, call.layout, _heads_of_key(call)).float() for x in (key, call.value))
        if q.numel() and k.numel():
            kept = None if call.drop_mask is None else kept_by(call.drop_mask, torch.Size((*q.shape[:3], k.shape[2])))
            yield _block(call, q, k, v, kept, slice(None), slice(None), slice(None), False)
        return
    q_lengths, kv_lengths = lengths(call.q_ends or ()), lengths(call.kv_ends or ())
    if sum(q_lengths) > query.shape[0] or sum(kv_lengths) > key.shape[0]:
        raise ValueError(
            f"sequences of {sum(q_lengths)} queries and {sum(kv_lengths)} keys do not fit into {query.shape[0]} and {key.shape[0]}"
        )
    sizes = [call.heads * a * b for a, b in zip(q_lengths, kv_lengths, strict=True)]
    bits = None if call.drop_mask is None else kept_by(call.drop_mask, torch.Size((sum(sizes),)))
    present = [index for index, length in enumerate(q_lengths) if length]
    # modes 7 and 8: a sequence that was cut between devices is at the end of one, at the start of the next
    cut = present[0 if call.sparse_mode == BAND_LEFT_UP_CAUSAL else -1] if present else -1
    at_q = at_kv = at_bit = 0
    for index, (queries, keys, size) in enumerate(zip(q_lengths, kv_lengths, sizes, strict=True)):
        rows, columns = slice(at_q, at_q + queries), slice(at_kv, at_kv + keys)
        kept = None if bits is None else bits[at_bit : at_bit + size].view(1, call.heads, queries, keys)
        at_q, at_kv, at_bit = at_q + queries, at_kv + keys, at_bit + size
        if size:
            q, k, v = (split_heads(x, "TND", 0).float() for x in (query[rows], key[columns], call.value[columns]))
            yield _block(call, q, k, v, kept, rows, columns, slice(index, index + 1), index == cut)


def _block(
    call: Attention, q: Tensor, k: Tensor, v: Tensor, kept: Tensor | None, rows: slice, columns: slice, batch: slice, band: bool
) -> Block:
    if q.shape[1] != call.heads or q.shape[1] % k.shape[1]:
        raise ValueError(f"head_num {call.heads} and the key's {k.shape[1]} heads do not go with the query's {q.shape[1]}")
    shape = (*q.shape[:3], k.shape[2])
    packed = call.layout == "TND"
    discard, barren = discarded(
        call.mask, call.sparse_mode, shape, call.before, call.after, (call.prefix or ())[batch], band=band, packed=packed
    )
    if barren and packed and call.sparse_mode != PREFIX_COMPRESSED:
        raise ValueError(f"sparse_mode {call.sparse_mode} leaves a query without a key, which input_layout TND does not support")
    return Block(
        query=q,
        key=k,
        value=v,
        scale=call.scale,
        discard=discard,
        empty_rows_are_zero=barren or call.inner_precise == 2,
        bias=_bias(call, shape, batch),
        bias_is_scaled=call.pse_type == 1,
        sink=None if call.sink is None else call.sink.float().view(1, -1, 1, 1),
        kept=kept,
        keep_prob=call.keep_prob,
        queries=rows,
        keys=columns,
    )


def _bias(call: Attention, shape: tuple[int, ...], batch: slice) -> Tensor | None:
    """Position encoding: given (pse_type 0, 1), or -slope * |distance| (2) or its square root (3) with slopes [N] or [B, N]."""
    if call.pse is None:
        return None
    pse = call.pse.float()
    queries, keys = shape[-2:]
    if call.pse_type in (0, 1):
        if pse.dim() != 4:
            raise NotImplementedError(f"pse of {pse.dim()} dimensions is not emulated, only of 4")
        pse = pse if pse.shape[0] == 1 else pse[batch]
        return _from_last_rows(pse, queries, keys) if pse.shape[2] == 1024 < max(queries, pse.shape[3]) else pse[..., :queries, :keys]
    if queries != keys:
        raise ValueError(f"pse_type {call.pse_type} needs as many queries as keys")
    start = (call.kv_start or (0,))[0] - (call.q_start or (0,))[0]
    distance = (torch.arange(keys) - torch.arange(queries).unsqueeze(1) + start).abs().float()
    slopes = pse.view(1, -1) if pse.dim() == 1 or pse.shape[0] == 1 else pse[batch]
    return -slopes[:, :, None, None] * (distance.sqrt() if call.pse_type == 3 else distance)


def _from_last_rows(pse: Tensor, queries: int, keys: int) -> Tensor:
    """Restore a bias that depends on the distance alone (ALiBi) from the last rows of its matrix; above the diagonal it is 0."""
    height, width = pse.shape[-2:]
    back = torch.arange(queries).unsqueeze(1) - torch.arange(keys) - (width - height)  # along the diagonal to the first of the rows
    rows, columns = back.clamp(0, height - 1), (-back).clamp(0, width - 1)
    return pse[..., rows, columns].masked_fill(back < height - width, 0)


def scores(block: Block) -> Tensor:
    """Scaled and masked, before the softmax. The caller may overwrite them."""
    score = block.query @ block.key.repeat_interleave(block.group, dim=1).mT
    if block.bias is not None and block.bias_is_scaled:
        score += block.bias
    score *= block.scale
    if block.bias is not None and not block.bias_is_scaled:
        score += block.bias
    return score if block.discard is None else score.masked_fill_(block.discard, LOWEST)


def attend(block: Block) -> tuple[Tensor, Tensor, Tensor]:
    """Return the result and the softmax's maximum and sum, [B, N, S, 1]."""
    probability = scores(block)
    top = probability.amax(-1, keepdim=True)
    if block.sink is not None:
        top = torch.maximum(top, block.sink)
    probability.sub_(top).exp_()
    total = probability.sum(-1, keepdim=True)
    if block.sink is not None:
        total = total + torch.exp(block.sink - top)
    probability /= total
    if block.empty_rows_are_zero:
        empty = top == LOWEST
        probability.masked_fill_(empty, 0)
        total = total.masked_fill(empty, -LOWEST)
    if block.kept is not None:
        probability = probability * block.kept / block.keep_prob
    return probability @ block.value.repeat_interleave(block.group, dim=1), top, total


def statistic_of(flat: Tensor, block: Block, call: Attention) -> Tensor:
    """The place of a block in a statistic, [B, N, S, 8].

    Of packed sequences, whose statistic is [T, N, 8], this is so only if softmax_layout says so; else it holds one [N, S, 8] after another.
    """
    if call.layout != "TND":
        return flat
    if call.softmax_layout == "same_as_input":
        return flat[block.queries].transpose(0, 1).unsqueeze(0)
    width = flat.shape[1] * flat.shape[2]
    return flat.view(-1)[block.queries.start * width : block.queries.stop * width].view(1, call.heads, -1, flat.shape[2])


def _forward(call: Attention) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    last = call.value.shape[-1]
    if call.layout in ("BSH", "SBH"):
        last = last * call.heads // (_heads_of_key(call) or 1)
    out = torch.zeros(*call.query.shape[:-1], last)
    queries = call.query.shape[:2] if call.layout == "TND" else split_heads(call.query, call.layout, call.heads).shape[:3]
    maximum, total = torch.zeros(*queries, _STATISTIC), torch.zeros(*queries, _STATISTIC)
    for block in blocks(call):
        result, *statistics = attend(block)
        out[block.queries] = join_heads(result, call.layout)
        for whole, part in zip((maximum, total), statistics, strict=True):
            statistic_of(whole, block, call).copy_(part.expand(*part.shape[:3], _STATISTIC))
    return maximum, total, torch.empty(0), out


def operator(name: str, parameters: str, function: Callable[[Attention], Any]) -> None:
    """Register an operator by the names of its parameters, in the C call's order; names that Attention lacks are outputs."""
    known = {one.name for one in fields(Attention)}
    names = parameters.split()
    letters = "".join(_LETTERS.get(parameter, "t") if parameter in known else "o" for parameter in names)
    inputs = [parameter for parameter in names if parameter in known]
    plain(name, letters, lambda *arguments: function(Attention(**dict(zip(inputs, arguments, strict=True)))))


_IN = "pse drop_mask padding_mask mask"
_RULES = "scale keep_prob before after heads layout inner_precise sparse_mode"
_OUT = "max sum softmax out"
_STARTS = "q_start kv_start"
_ENDS = "q_ends kv_ends"
_ROPE = "query query_rope key key_rope value"
for _name, _parameters in {
    "Score": f"query key value {_IN} prefix {_RULES} {_OUT}",
    "ScoreV2": f"query key value {_IN} prefix {_STARTS} {_RULES} pse_type {_OUT}",
    "ScoreV3": f"query key value {_IN} sink prefix {_STARTS} {_RULES} pse_type {_OUT}",
    "VarLenScore": f"query key value {_IN} prefix {_ENDS} {_RULES} {_OUT}",
    "VarLenScoreV2": f"query key value {_IN} prefix {_ENDS} {_STARTS} {_RULES} pse_type {_OUT}",
    "VarLenScoreV3": f"{_ROPE} {_IN} prefix {_ENDS} {_STARTS} {_RULES} pse_type {_OUT}",
    "VarLenScoreV4": f"query key value {_IN} prefix {_ENDS} {_RULES} softmax_layout {_OUT}",
    "VarLenScoreV5": f"{_ROPE} {_IN} sink prefix {_ENDS} {_STARTS} {_RULES} pse_type softmax_layout {_OUT}",
}.items():
    operator(f"FlashAttention{_name}", _parameters, _forward)
