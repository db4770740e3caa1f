"""Rotary position embedding. Knows no projection, no norm and no cache of keys.

Definitions: pages npu_rotary_mul, npu_apply_rotary_pos_emb, npu_mrope and npu_interleave_rope of op-plugin's documentation, and CANN's
page aclnnRotaryPositionEmbeddingGrad, computed in float32. Of a vector of pairs, (a, b) becomes (a * cos - b * sin, b * cos + a * sin); the
modes say where in the last dimension the two of a pair lie.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from emulator.operator import Ints, Out, aclnn


def _rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def _rotate_interleave(x: Tensor) -> Tensor:
    return torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)


def _rotate_quarter(x: Tensor) -> Tensor:
    return torch.cat([_rotate_half(part) for part in x.chunk(2, dim=-1)], dim=-1)


def even_then_odd(x: Tensor) -> Tensor:
    return torch.cat((x[..., ::2], x[..., 1::2]), dim=-1)


_ROTATIONS: tuple[Callable[[Tensor], Tensor], ...] = (_rotate_half, _rotate_interleave, _rotate_quarter)
_MODES = {"half": 0, "interleave": 1, "quarter": 2}


def _rotation(mode: int) -> Callable[[Tensor], Tensor]:
    if not 0 <= mode < len(_ROTATIONS):
        raise NotImplementedError(f"rotary mode {mode} is not emulated, only half (0), interleave (1) and quarter (2)")
    return _ROTATIONS[mode]


def rotated(x: Tensor, cos: Tensor, sin: Tensor, mode: int) -> Tensor:
    wide = x.float()
    return wide * cos.float() + _rotation(mode)(wide) * sin.float()


@aclnn
def RotaryPositionEmbedding(x: Tensor, cos: Tensor, sin: Tensor, mode: int, out: Out) -> Tensor:
    """x of 3 or 4 dimensions; cos and sin broadcast to it. Page npu_rotary_mul."""
    return rotated(x, cos, sin, mode)


@aclnn
def RotaryPositionEmbeddingV2(x: Tensor, cos: Tensor, sin: Tensor, mode: int, rotate: Tensor | None, out: Out) -> Tensor:
    """As RotaryPositionEmbedding; with rotate [D, D] the rotation is x @ rotate, whatever the mode. Page npu_rotary_mul."""
    if rotate is None:
        return rotated(x, cos, sin, mode)
    wide = x.float()
    return wide * cos.float() + wide @ rotate.float() * sin.float()


@aclnn
def RotaryPositionEmbeddingGrad(
    dy: Tensor, cos: Tensor, sin: Tensor, x: Tensor | None, mode: int, dx: Out, dcos: Out, dsin: Out
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, cos and sin; without x there are none of cos and sin, and the emulator makes them zero. CANN's page of this name."""
    upstream, rotation = dy.float(), _rotation(mode)
    gradient = upstream * cos.float() - rotation(upstream * sin.float())  # a rotation's transpose is its negative
    if x is None:
        return gradient, torch.zeros_like(dcos), torch.zeros_like(dsin)
    wide = x.float()
    return gradient, (upstream * wide).sum_to_size(cos.shape), (upstream * rotation(wide)).sum_to_size(sin.shape)


@aclnn
def ApplyRotaryPosEmbV2(query: Out, key: Out, cos: Tensor, sin: Tensor, layout: int, rotary_mode: str) -> tuple[Tensor, Tensor]:
    """query, key [.., D] are overwritten; cos, sin with one head, and the last dimension at most D: what is beyond it is kept.

    All of layout 1 (BSND), 2 (SBND), 3 (BNSD) and 4 (TND) broadcast as they are. Page npu_apply_rotary_pos_emb.
    """
    if rotary_mode not in _MODES:
        raise ValueError(f"rotary mode {rotary_mode!r} is none of {', '.join(_MODES)}")
    if layout not in (1, 2, 3, 4):
        raise ValueError(f"layout {layout} is none of 1 (BSND), 2 (SBND), 3 (BNSD) and 4 (TND)")
    width = cos.shape[-1]
    results = [torch.cat((rotated(x[..., :width], cos, sin, _MODES[rotary_mode]), x[..., width:].float()), dim=-1) for x in (query, key)]
    return results[0], results[1]


@aclnn
def ApplyRotaryPosEmb(query: Out, key: Out, cos: Tensor, sin: Tensor, layout: int) -> tuple[Tensor, Tensor]:
    """ApplyRotaryPosEmbV2 in its half mode."""
    results: tuple[Tensor, Tensor] = ApplyRotaryPosEmbV2(query, key, cos, sin, layout, "half")
    return results


@aclnn
def InterleaveRope(x: Tensor, cos: Tensor, sin: Tensor, out: Out) -> Tensor:
    """x [B, N, S, D]: pairs lie side by side and come out with their first halves in front; cos, sin [B, 1, 1 or S, D].

    Page npu_interleave_rope.
    """
    return rotated(even_then_odd(x), cos, sin, 0)


def _of_sections(table: Tensor, sections: Ints, interleaved: bool) -> Tensor:
    """Choose, column by column, which of the three or four positions (first dimension) the angle is of."""
    if interleaved:
        chosen, end = table[0].clone(), sections[1] * 3
        for axis in (1, 2):
            chosen[..., axis:end:3] = table[axis, ..., axis:end:3]
        return chosen
    return torch.cat([part[axis] for axis, part in enumerate(torch.split_with_sizes(table, list(sections), -1))], dim=-1)


def _rope_with_cache(
    positions: Tensor, query: Tensor, key: Tensor, cache: Tensor, sections: Ints, head_size: int, neox: bool, interleaved: bool
) -> tuple[Tensor, Tensor]:
    width = cache.shape[-1]
    cos, sin = cache.float()[positions.long()].chunk(2, dim=-1)  # [(3 or 4,) tokens, width / 2]
    if positions.dim() == 2:
        cos, sin = (_of_sections(table, sections, interleaved) for table in (cos, sin))
    cos, sin = (table.repeat(1, 2) if neox else table.repeat_interleave(2, dim=-1) for table in (cos, sin))
    results = []
    for x in (query, key):
        heads = x.reshape(x.shape[0], -1, head_size)
        turned = rotated(heads[..., :width], cos.unsqueeze(1), sin.unsqueeze(1), 0 if neox else 1)
        results.append(torch.cat((turned, heads[..., width:].float()), dim=-1).reshape(x.shape))
    return results[0], results[1]


@aclnn
def RopeWithSinCosCacheV2(
    positions: Tensor,
    query: Tensor,
    key: Tensor,
    cos_sin_cache: Tensor,
    mrope_section: Ints,
    head_size: int,
    is_neox_style: bool,
    cache_mode: int,
    query_out: Out,
    key_out: Out,
) -> tuple[Tensor, Tensor]:
    """query, key [tokens, heads * head_size]; cache [positions, rotary_dim], cosines before sines; positions [tokens], or [3 or 4, tokens]
    whose angles are joined by mrope_section, in pieces (cache_mode 0) or by turns (1). Page npu_mrope."""
    if cache_mode not in (0, 1):
        raise ValueError(f"cache_mode {cache_mode} is neither 0 (default) nor 1 (interleave)")
    return _rope_with_cache(positions, query, key, cos_sin_cache, mrope_section, head_size, is_neox_style, cache_mode == 1)


@aclnn
def RopeWithSinCosCache(
    positions: Tensor,
    query: Tensor,
    key: Tensor,
    cos_sin_cache: Tensor,
    mrope_section: Ints,
    head_size: int,
    is_neox_style: bool,
    query_out: Out,
    key_out: Out,
) -> tuple[Tensor, Tensor]:
    """RopeWithSinCosCacheV2 with cache_mode 0."""
    return _rope_with_cache(positions, query, key, cos_sin_cache, mrope_section, head_size, is_neox_style, False)
