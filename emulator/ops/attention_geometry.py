"""Which keys a query does not see, and how the tensors of attention are laid out. Knows no arithmetic of attention.

Definitions: page npu_fusion_attention of op-plugin's documentation (sparse_mode), CANN's page of the sparse modes (ops-transformer). True
in a mask means discarded. What the device checks when it plans a kernel, and refuses, is refused here too.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

DEFAULT, ALL, LEFT_UP_CAUSAL, RIGHT_DOWN_CAUSAL, BAND, PREFIX, PREFIX_COMPRESSED, RIGHT_DOWN_CAUSAL_BAND, BAND_LEFT_UP_CAUSAL = range(9)

_FULL = (
    DEFAULT,
    ALL,
    PREFIX,
)  # the mask has an entry for every query and key; elsewhere it is a template, and the mode says what it stands for
_SIDE = 2048


def _apart(x: Tensor, heads: int) -> Tensor:
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads if heads else 0)


def split_heads(x: Tensor, layout: str, heads: int) -> Tensor:
    """Return [B, N, S, D]. TND is one sequence then: [S, N, D]."""
    match layout:
        case "BSH":
            return _apart(x, heads).transpose(1, 2)
        case "SBH":
            return _apart(x, heads).permute(1, 2, 0, 3)
        case "BNSD":
            return x
        case "BSND":
            return x.transpose(1, 2)
        case "TND":
            return x.transpose(0, 1).unsqueeze(0)
    raise ValueError(f"input_layout {layout!r} is none of BSH, SBH, BNSD, BSND, TND")


def join_heads(x: Tensor, layout: str) -> Tensor:
    """Undo split_heads."""
    match layout:
        case "BSH":
            return x.transpose(1, 2).flatten(2)
        case "SBH":
            return x.permute(2, 0, 1, 3).flatten(2)
        case "BNSD":
            return x
        case "BSND":
            return x.transpose(1, 2)
    return x.squeeze(0).transpose(0, 1)


def lengths(cumulative: Sequence[int]) -> list[int]:
    """Lengths of sequences from where each ends; zeros at the tail stand for sequences that are not there."""
    result, end = [], 0
    for this in cumulative:
        if this < end and this != 0:
            raise ValueError(f"lengths of sequences must be cumulative, not {list(cumulative)}")
        result.append(max(this - end, 0))
        end = max(this, end)
    return result


@lru_cache(maxsize=2)
def _template(rows: int) -> Tensor:
    """The compressed mask: a strict upper triangle and, below it for the prefix mode, rows whose right half is discarded."""
    template = torch.ones(rows, _SIDE, dtype=torch.bool).triu(1)
    template[_SIDE:, : _SIDE // 2], template[_SIDE:, _SIDE // 2 :] = False, True
    return template.view(torch.uint8).flatten().view(torch.int64)


def _require_template(mask: Tensor, mode: int) -> None:
    rows = _SIDE + 1024 if mode == PREFIX_COMPRESSED else _SIDE
    if mask.numel() != rows * _SIDE or mask.shape[-1] != _SIDE:
        raise ValueError(f"sparse_mode {mode} needs the compressed atten_mask [{rows}, {_SIDE}], not {list(mask.shape)}")
    # eight at a time: every call pays for this comparison
    if not torch.equal(mask.bool().contiguous().view(torch.uint8).flatten().view(torch.int64), _template(rows)):
        raise ValueError(f"sparse_mode {mode} needs the compressed atten_mask as it is documented: True above the diagonal")


def outside(mode: int, queries: int, keys: int, before: int, after: int, prefix: int | None, band: bool) -> Tensor | None:
    """Return what the parameters alone exclude, [queries, keys]; None if nothing.

    `before` and `after` are pre_tokens and next_tokens. `band`: this sequence is the one that modes 7 and 8 treat as mode 4.
    """
    if band and mode in (RIGHT_DOWN_CAUSAL_BAND, BAND_LEFT_UP_CAUSAL):
        mode = BAND
    # the distance of a key from the diagonal; far below 2^63 whatever the parameters are
    distance = torch.arange(keys) - torch.arange(queries).unsqueeze(1)
    before, after = min(before, 1 << 40), min(after, 1 << 40)
    shift = keys - queries
    match mode:
        case 0 if before < queries - 1 or after < keys - 1:
            return (distance < -before) | (distance > after)
        case 2 | 8:
            return distance > 0
        case 3 | 7:
            return distance > shift
        case 4:
            return (distance < shift - before) | (distance > shift + after)
        case 5 | 6 if prefix is not None:
            return (distance > shift) & (torch.arange(keys) >= prefix)
    return None


def _check_prefix(prefix: Sequence[int], shape: tuple[int, int, int, int]) -> None:
    batch, _, queries, keys = shape
    if len(prefix) != batch:
        raise ValueError(f"prefix has {len(prefix)} entries for {batch} sequences")
    low = max(keys - queries, 0)
    for value in prefix:
        if not low <= value <= keys:
            raise ValueError(f"prefix {value} is outside of [{low}, {keys}]")


def discarded(
    mask: Tensor | None,
    mode: int,
    shape: tuple[int, int, int, int],
    before: int,
    after: int,
    prefix: Sequence[int],
    *,
    band: bool = False,
    packed: bool = False,
) -> tuple[Tensor | None, bool]:
    """Return what [B, N, queries, keys] discards, in a shape that broadcasts to it, and whether the parameters leave a query without a key.

    Without a mask nothing is discarded, whatever the mode. `packed`: the mask is as large as the largest of several sequences.
    """
    if mask is None:
        return None, False
    if not DEFAULT <= mode <= BAND_LEFT_UP_CAUSAL:
        raise ValueError(f"sparse_mode {mode} is not one of 0 to 8")
    queries, keys = shape[-2:]
    each: Sequence[int | None] = (None,)
    if mode in (PREFIX, PREFIX_COMPRESSED) and prefix:
        _check_prefix(prefix, shape)
        each = prefix
    elif mode == PREFIX_COMPRESSED:
        raise ValueError("sparse_mode 6 needs prefix")
    excluded = [outside(mode, queries, keys, before, after, length, band) for length in each]
    bounds = None if excluded[0] is None else torch.stack([part for part in excluded if part is not None]).unsqueeze(1)
    barren = bounds is not None and bool(bounds.all(-1).any())
    if bounds is not None and bool(bounds.all()):
        raise ValueError(f"sparse_mode {mode} with pre_tokens {before} and next_tokens {after} excludes every position")
    if mode not in _FULL:
        _require_template(mask, mode)
        return bounds, barren
    given = mask.bool()
    if given.dim() not in (2, 4):
        raise ValueError(f"atten_mask must have 2 or 4 dimensions, not {given.dim()}")
    if packed:
        given = given[..., :queries, :keys]
    if given.shape[-2:] != shape[-2:]:
        raise ValueError(f"atten_mask {list(mask.shape)} is not for {queries} queries and {keys} keys")
    if bounds is not None and bool((bounds & ~given).any()):
        raise ValueError(
            f"sparse_mode {mode}: atten_mask keeps what pre_tokens, next_tokens or prefix exclude; the device promises nothing then"
        )
    return given, barren
