"""Numbers on which rules of quantisation differ: midpoints and their neighbours, zeros, subnormals, powers of two. Knows no layer."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from harness.inputs import draw_integers, draw_normal
from reference.oracles.block_formats import Element, Format, to_element

_SPREAD = 3  # binary orders by which blocks differ, up and down


def on_the_edge(seed: int, name: str, shape: Sequence[int], form: Format, dtype: torch.dtype) -> Tensor:
    """Return numbers of the given shape and dtype, on the host; each run of `form.block[1]` in a row is of one of ten kinds, in turn.

    Which kind a row begins with is drawn; of formats whose blocks are taller, blocks thus have something of several kinds.
    """
    columns, width = form.block[1], shape[-1]
    per_row = -(-width // columns)
    rows = math.prod(shape[:-1])
    first = torch.from_numpy(draw_integers(seed, f"{name}/first", rows, 0, len(_KINDS)))
    kinds = (first[:, None] + torch.arange(per_row)).flatten() % len(_KINDS)
    size = (rows * per_row, columns)
    drawn = torch.from_numpy(draw_normal(seed, f"{name}/size", math.prod(size))).reshape(size)
    made = torch.stack([make(drawn, form.element, torch.finfo(dtype).eps) for make in _KINDS])[kinds, torch.arange(len(kinds))]
    powers = torch.from_numpy(draw_integers(seed, f"{name}/power", len(kinds), -_SPREAD, _SPREAD + 1))
    filled = (made * torch.exp2(powers.double())[:, None]).reshape(rows, -1)[:, :width]
    return filled.reshape(tuple(shape)).to(dtype)


def _plain(drawn: Tensor, _: Element, __: float) -> Tensor:
    return drawn


def _zeros(drawn: Tensor, _: Element, __: float) -> Tensor:
    return torch.zeros_like(drawn)


def _one_huge(drawn: Tensor, element: Element, _: float) -> Tensor:
    """The rest is about as large as the least numbers of the element, beside one at its end."""
    return _with_largest(drawn * 2.0 ** (element.least - element.mantissa - element.top), 1.0)


def _subnormal(drawn: Tensor, _: Element, __: float) -> Tensor:
    """Whole blocks below the least normal number of float32."""
    return drawn * 2.0**-133


def _power_of_two(drawn: Tensor, _: Element, __: float) -> Tensor:
    """The largest is a power of two: there ceilings and floors of logarithms part."""
    return _with_largest(drawn.clamp(-3, 3) / 4, 1.0)


def _limit(drawn: Tensor, element: Element, _: float) -> Tensor:
    """The largest is just the element's largest number times a power of two."""
    return _with_largest(drawn.clamp(-3, 3) / 4, element.room)


def _beyond_limit(drawn: Tensor, element: Element, eps: float) -> Tensor:
    """The largest is the next number after that: the scale has to be twice as large, or it saturates."""
    return _with_largest(drawn.clamp(-3, 3) / 4, element.room * (1 + eps))


def _far_beyond_limit(drawn: Tensor, element: Element, _: float) -> Tensor:
    """The largest lies where numbers of twice the scale begin: a scale by the floor of the logarithm saturates to another number."""
    return _with_largest(drawn.clamp(-3, 3) / 4, 2 - 0.3 * (2 - element.room))


def _midpoints(drawn: Tensor, element: Element, _: float) -> Tensor:
    """Halfway between two numbers of the element, after scaling."""
    return _with_largest(_halfway(drawn, element), element.room)


def _beside_midpoints(drawn: Tensor, element: Element, eps: float) -> Tensor:
    """As near to that as the dtype has numbers, on either side."""
    aside = torch.where(torch.arange(drawn.shape[-1]) % 2 == 0, 1 + eps, 1 - eps)
    return _with_largest(_halfway(drawn, element) * aside, element.room)


_KINDS: tuple[Callable[[Tensor, Element, float], Tensor], ...] = (
    _plain, _zeros, _one_huge, _subnormal, _power_of_two, _limit, _beyond_limit, _far_beyond_limit, _midpoints, _beside_midpoints,
)  # fmt: skip


def _halfway(drawn: Tensor, element: Element) -> Tensor:
    """Return midpoints of the element that lie near the numbers drawn, with its largest number at `room`."""
    low = to_element(drawn.abs().clamp(max=3) / 4 * element.limit, element)
    step = torch.exp2(torch.floor(torch.log2(low.clamp_min(2.0**element.least))) - element.mantissa)
    middle = torch.where(low < element.limit, low + step / 2, low)
    return torch.copysign(middle, drawn) / 2.0**element.top


def _with_largest(numbers: Tensor, largest: float) -> Tensor:
    """Return the blocks with this number as their first, the largest there is."""
    return torch.cat([torch.full_like(numbers[:, :1], largest), numbers[:, 1:]], -1)
