"""Attention for training, backward: npu_fusion_attention_grad in all its versions. Knows no optimizer and no forward of its own.

Definitions: CANN's pages aclnnFlashAttentionScoreGrad, -V2, -V3 and aclnnFlashAttentionUnpaddingScoreGrad, -V2 to -V5 (ops-transformer).
The probabilities are computed again, from the forward's maximum and sum; the row sums of the softmax's gradient come from its result:

    P = exp(S - max) / sum    dV = drop(P)^T dY    dS = P (drop(dY V^T) - dY . out)    dQ = scale dS K    dK = scale dS^T Q
    dsink = - sum over queries of exp(sink - max) / sum * (dY . out)

The device has an output for the gradient of pse and says that it is not used. Here it is NaN, lest it be taken for one.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from emulator.ops.attention import LOWEST, Attention, Block, blocks, operator, scores, statistic_of
from emulator.ops.attention_geometry import join_heads, split_heads


def _given(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"{name} is needed")
    return value


def _shared(gradient: Tensor, group: int) -> Tensor:
    """Add up what the heads that share a key or a value give it."""
    return gradient.reshape(gradient.shape[0], -1, group, *gradient.shape[2:]).sum(2)


def _gradients(block: Block, dy: Tensor, out: Tensor, top: Tensor, total: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return those of query, key, value and sink. The latter is zero without a sink."""
    probability = scores(block).sub_(top).exp_().div_(total)
    probability.masked_fill_(total == -LOWEST, 0)  # a row that the forward found empty
    key, value = (x.repeat_interleave(block.group, dim=1) for x in (block.key, block.value))
    upstream = dy @ value.mT
    dropped = probability
    if block.kept is not None:
        upstream, dropped = (x * block.kept / block.keep_prob for x in (upstream, probability))
    inner = (dy * out).sum(-1, keepdim=True)
    gradient = upstream.sub_(inner).mul_(probability).mul_(block.scale)
    sink = torch.zeros(0)
    if block.sink is not None:
        sink = -(torch.exp(block.sink - top) / total * inner).sum((0, 2, 3))
    return gradient @ key, _shared(gradient.mT @ block.query, block.group), _shared(dropped.mT @ dy, block.group), sink


def _backward(outputs: Sequence[str], call: Attention) -> list[Tensor]:
    dy, out = _given(call.dy, "dy"), _given(call.attention_in, "attention_in")
    statistics = _given(call.softmax_max, "softmax_max"), _given(call.softmax_sum, "softmax_sum")
    width = call.query.shape[-1]
    joined = call.query if call.query_rope is None else torch.cat((call.query, call.query_rope), dim=-1)
    other = call.key if call.key_rope is None else torch.cat((call.key, call.key_rope), dim=-1)
    dq, dk, dv = (torch.zeros(x.shape) for x in (joined, other, call.value))
    dsink = torch.zeros(0 if call.sink is None else call.sink.shape)
    for block in blocks(call):
        upstream, result = (split_heads(x[block.queries], call.layout, call.heads).float() for x in (dy, out))
        top, total = (statistic_of(x.contiguous(), block, call)[..., :1] for x in statistics)
        *gradients, sink = _gradients(block, upstream, result, top, total)
        for whole, part, place in zip((dq, dk, dv), gradients, (block.queries, block.keys, block.keys), strict=True):
            whole[place] = join_heads(part, call.layout)
        dsink += sink
    dpse = torch.zeros(0) if call.pse is None else torch.full(call.pse.shape, torch.nan)
    absent = torch.zeros(0)
    found = {
        "dq": dq[..., :width],
        "dk": dk[..., : call.key.shape[-1]],
        "dv": dv,
        "dpse": dpse,
        "dsink": dsink,
        "dq_rope": absent if call.query_rope is None else dq[..., width:],
        "dk_rope": absent if call.key_rope is None else dk[..., call.key.shape[-1] :],
    }
    return [found[name] for name in outputs if name in found]  # what is not is a parameter that comes after them


_IN = "dy pse drop_mask padding_mask mask softmax_max softmax_sum softmax_in attention_in"
_RULES = "scale keep_prob before after heads layout inner_precise sparse_mode"
_STARTS = "q_start kv_start"
_ENDS = "q_ends kv_ends"
_ROPE = "query query_rope key key_rope value"
for _name, (_parameters, _outputs) in {
    "ScoreGrad": (f"query key value {_IN} prefix {_RULES}", "dq dk dv dpse"),
    "ScoreGradV2": (f"query key value {_IN} prefix {_STARTS} {_RULES} pse_type", "dq dk dv dpse"),
    "ScoreGradV3": (f"query key value {_IN} sink prefix {_STARTS} {_RULES} pse_type", "dq dk dv dpse dsink"),
    "UnpaddingScoreGrad": (f"query key value {_IN} prefix {_ENDS} {_RULES}", "dq dk dv dpse"),
    "UnpaddingScoreGradV2": (f"query key value {_IN} prefix {_ENDS} {_STARTS} {_RULES} pse_type", "dq dk dv dpse"),
    "UnpaddingScoreGradV3": (f"{_ROPE} {_IN} prefix {_ENDS} {_STARTS} {_RULES} pse_type", "dq dq_rope dk dk_rope dv dpse"),
    "UnpaddingScoreGradV4": (f"query key value {_IN} prefix {_ENDS} {_RULES}", "dq dk dv dpse softmax_layout"),
    "UnpaddingScoreGradV5": (
        f"{_ROPE} {_IN} sink prefix {_ENDS} {_STARTS} {_RULES} pse_type softmax_layout",
        "dq dq_rope dk dk_rope dv dpse dsink",
    ),
}.items():
    operator(f"FlashAttention{_name}", f"{_parameters} {_outputs}", partial(_backward, _outputs.split()))
