"""The gated delta rule: linear attention over a state matrix that decays and learns. Knows nothing of chunks, steps one by one.

Definitions: documentation of torch_npu (npu_recurrent_gated_delta_rule, npu_chunk_gated_delta_rule), from arXiv 2412.06464; computed in
float32. query and key are [all lengths, key heads, key width], value and the result [all lengths, value heads, value width].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from emulator.operator import Float32, Out, aclnn


@dataclass(frozen=True)
class _Tokens:
    """What each token brings, in float32: query, key [length, heads, key width], value, decay (of a head or of each column), strength."""

    query: Tensor
    key: Tensor
    value: Tensor
    decay: Tensor
    strength: Tensor

    def step(self, place: int, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state [heads, value width, key width] after a token, and what the token's query reads from it."""
        kept = state * self.decay[place]
        key = self.key[place].unsqueeze(-1)
        learnt = (self.value[place].unsqueeze(-1) - kept @ key) * self.strength[place].view(-1, 1, 1)
        state = kept + learnt @ key.mT
        return state, (state @ self.query[place].unsqueeze(-1)).squeeze(-1)


def _tokens(query: Tensor, key: Tensor, value: Tensor, beta: Tensor | None, g: Tensor | None, gk: Tensor | None, scale: float) -> _Tokens:
    if value.shape[1] % key.shape[1]:
        raise ValueError(f"{value.shape[1]} heads of value are no multiple of {key.shape[1]} heads of key")
    heads = value.shape[1] // key.shape[1]
    decay = torch.ones(*value.shape[:2], 1, 1) if g is None else g.float().exp()[..., None, None]
    if gk is not None:
        decay = decay * gk.float().exp().unsqueeze(-2)
    left, right = (tensor.float().repeat_interleave(heads, 1) for tensor in (query, key))
    strength = torch.ones(value.shape[:2]) if beta is None else beta.float()
    return _Tokens(left * scale, right, value.float(), decay, strength)


def _spans(lengths: Tensor | None, total: int) -> list[range]:
    if lengths is None:
        raise ValueError("actual_seq_lengths is needed")
    listed = lengths.tolist()
    if sum(listed) != total:
        raise ValueError(f"actual_seq_lengths {listed} are not the lengths of sequences with {total} tokens in all")
    ends = torch.tensor(listed).cumsum(0).tolist()
    return [range(end - length, end) for end, length in zip(ends, listed, strict=True)]


@aclnn
def RecurrentGatedDeltaRule(
    query: Tensor, key: Tensor, value: Tensor, beta: Tensor | None, state: Out, lengths: Tensor | None, indices: Tensor | None,
    g: Tensor | None, gk: Tensor | None, accepted: Tensor | None, scale: Float32, out: Out,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Steps of decoding: after each token its state is stored at state[indices[token]]; state is [blocks, heads, value width, key width].

    A sequence begins with the state of the last token accepted from those speculated before, that is of its token accepted - 1 (or 0).
    """
    if indices is None:
        raise ValueError("ssm_state_indices is needed")
    tokens, places, states = _tokens(query, key, value, beta, g, gk, scale), indices.tolist(), state.clone()
    result = torch.empty(value.shape)
    for sequence, span in enumerate(_spans(lengths, len(value))):
        first = 0 if accepted is None else int(accepted[sequence]) - 1
        if len(span):
            current = states[places[span[first]]].float()
        for place in span:
            current, result[place] = tokens.step(place, current)
            states[places[place]] = current
    return states, result


@aclnn
def ChunkGatedDeltaRule(
    query: Tensor, key: Tensor, value: Tensor, beta: Tensor | None, state: Tensor, lengths: Tensor | None, scale: Float32,
    g: Tensor | None, out: Out, final: Out,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Whole sequences: from state [sequences, heads, value width, key width] to the state after the last token of each."""
    tokens, states, result = _tokens(query, key, value, beta, g, None, scale), state.float(), torch.empty(value.shape)
    last = []
    for current, span in zip(states, _spans(lengths, len(value)), strict=True):
        for place in span:
            current, result[place] = tokens.step(place, current)
        last.append(current)
    return result, torch.stack(last)
