"""The gated delta rule, token by token, and a causal convolution. Knows no device, chunk or scan.

Sources: Yang, Kautz and Hatamizadeh 2024 (gated delta networks), eq. 10; pages of npu_recurrent_gated_delta_rule,
npu_chunk_gated_delta_rule and npu_masked_causal_conv1d.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reference.oracles.fused.widening import wide


def gated_delta_rule(
    query: Tensor, key: Tensor, value: Tensor, beta: Tensor, g: Tensor, states: Tensor, lengths: Sequence[int], scale: float
) -> tuple[Tensor, Tensor]:
    """Return what the queries read [tokens, heads, value width], and the state after each token [tokens, heads, value, key].

    Per head, `S = exp(g) S; S = S + beta (v - S k) k^T; out = scale S q`; sequence i begins with `states[i]`. Query and key have fewer
    heads, each for as many neighbouring value heads.
    """
    group = value.shape[1] // key.shape[1]
    query, key = (wide(x).repeat_interleave(group, 1) for x in (query, key))
    outs, after, token = [], [], 0
    for length, first in zip(lengths, states, strict=True):
        state = wide(first)
        for _ in range(length):
            state = state * torch.exp(wide(g)[token])[:, None, None]
            missing = wide(value)[token] - torch.einsum("hvk,hk->hv", state, key[token])
            state = state + wide(beta)[token][:, None, None] * missing[:, :, None] * key[token][:, None, :]
            outs.append(torch.einsum("hvk,hk->hv", state, query[token]) * scale)
            after.append(state)
            token += 1
    return torch.stack(outs).to(value.dtype), torch.stack(after)


def masked_causal_conv1d(x: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """Return `out[t] = sum_j weight[j] x[t - taps + 1 + j]` of [length, batch, width], zero before the first, and where the mask
    [batch, length] is false.
    """
    taps = weight.shape[0]
    padded = torch.cat([x.new_zeros(taps - 1, *x.shape[1:]), x])
    out = torch.stack([weight[j] * padded[j : j + x.shape[0]] for j in range(taps)]).sum(0)
    return out * mask.T[..., None]
