"""Joining attention over parts of the keys into attention over all of them. Knows no attention itself.

Definitions: page npu_attention_update of op-plugin's documentation; for RingAttentionUpdate op-plugin's test for the device, computed in
float32. Parts carry the logarithm of their sum of exponentials, or its maximum and sum as npu_fusion_attention returns them.
"""

import torch
from torch import Tensor

from emulator.operator import Out, Tensors, aclnn
from emulator.ops.attention_geometry import lengths
from emulator.ops.attention_sequences import following


@aclnn
def AttentionUpdate(lse: Tensors, local_out: Tensors, update_type: int, out: Out, lse_out: Out | None) -> tuple[Tensor, Tensor]:
    """lse: [rows] each; local_out: [rows, D] each. lse_out is wanted with update_type 1."""
    parts = torch.stack([part.float() for part in lse])
    whole = torch.logsumexp(parts, dim=0)
    values = torch.stack([part.float() for part in local_out])
    return (values * torch.exp(parts - whole).unsqueeze(-1)).sum(0), whole


def _by_token(statistic: Tensor, layout: str, ends: Tensor | None) -> Tensor:
    """[.., N, 1] in the order of the result's tokens, of [B, N, S, 8] (SBH), [T, N, 8], or one [N, S, 8] after the other."""
    if layout == "SBH":
        return statistic[..., :1].permute(2, 0, 1, 3)
    if layout == "TND":
        return statistic[..., :1]
    if ends is None:
        raise ValueError("input_layout TND needs actual_seq_qlen")
    heads, width = statistic.shape[1:]
    flat = statistic.reshape(-1, width)
    parts = following(lengths(ends.tolist()))
    return torch.cat([flat[part.start * heads : part.stop * heads, :1].view(heads, -1, 1).transpose(0, 1) for part in parts])


def _like(token: Tensor, statistic: Tensor, layout: str, ends: Tensor | None) -> Tensor:
    """Undo _by_token."""
    if layout == "SBH":
        return token.permute(1, 2, 0, 3).expand(statistic.shape)
    if layout == "TND" or ends is None:
        return token.expand(statistic.shape)
    parts = [token[part].transpose(0, 1).flatten(0, 1) for part in following(lengths(ends.tolist()))]
    return torch.cat(parts).expand(-1, statistic.shape[-1]).reshape(statistic.shape)


@aclnn
def RingAttentionUpdateV2(
    prev_attn_out: Tensor,
    prev_softmax_max: Tensor,
    prev_softmax_sum: Tensor,
    cur_attn_out: Tensor,
    cur_softmax_max: Tensor,
    cur_softmax_sum: Tensor,
    actual_seq_qlen: Tensor | None,
    input_layout: str,
    input_softmax_layout: str,
    attn_out: Out,
    softmax_max: Out,
    softmax_sum: Out,
) -> tuple[Tensor, Tensor, Tensor]:
    """Results are SBH with statistics [B, N, S, 8], or TND with statistics of that shape, whose order input_softmax_layout says."""
    order = input_softmax_layout if input_layout == "TND" and input_softmax_layout == "TND" else "SBH" if input_layout == "SBH" else ""
    given = (prev_softmax_max, prev_softmax_sum, cur_softmax_max, cur_softmax_sum)
    first_top, first_sum, second_top, second_sum = (_by_token(statistic.float(), order, actual_seq_qlen) for statistic in given)
    top = torch.maximum(first_top, second_top)
    first, second = first_sum * torch.exp(first_top - top), second_sum * torch.exp(second_top - top)
    total = first + second
    heads = first.shape[-2]
    parts = [x.float().reshape(*x.shape[:2], heads, -1) if input_layout == "SBH" else x.float() for x in (prev_attn_out, cur_attn_out)]
    joined = parts[0] * (first / total) + parts[1] * (second / total)
    statistics = [_like(token, prev_softmax_max, order, actual_seq_qlen) for token in (top, total)]
    return joined.reshape(attn_out.shape), statistics[0], statistics[1]
