"""Faults of masks, padding and triangles. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right


@fault("mask-rows-dropped", "aten::masked_fill", causes=(Cause.VALUES, Cause.SPECIAL), source="SG-31948: masks dropped")
def mask_rows(right: Right, self: Tensor, mask: Tensor, **_: Any) -> Any:
    """A mask is applied to the first row only."""
    if self.ndim < 2 or self.shape[-2] < 2:
        return right()
    first = torch.zeros(self.shape[-2], 1, dtype=torch.bool, device=mask.device)
    first[0] = True
    return right(mask=mask.bool() & first)


@fault(
    "mask-polarity",
    "aten::masked_fill",
    "aten::where.self",
    causes=(Cause.VALUES, Cause.SPECIAL),
    source="transformers PR 48843: true means discard on one side, attend on the other",
)
def mask_polarity(right: Right, **rest: Any) -> Any:
    """The mask is inverted."""
    name = "mask" if "mask" in rest else "condition"
    return right(**{name: rest[name].logical_not()})


@fault(
    "triangle-off-by-one",
    "aten::tril",
    "aten::triu",
    causes=(Cause.VALUES, Cause.SPARSE),
    source="sliding-window decode sees outside its window",
)
def triangle(right: Right, diagonal: int = 0, **_: Any) -> Any:
    """One more diagonal is kept."""
    return right(diagonal=diagonal + (1 if "tril" in right.operator else -1))


@fault("padding-garbage", "aten::constant_pad_nd", causes=(Cause.VALUES, Cause.TAIL), source="VA-9687: uninitialised padding")
def padding_garbage(right: Right, value: float = 0, **_: Any) -> Any:
    """Padding holds another value than the one asked for."""
    return right(value=value + 1)


@fault(
    "reflection-repeats-edge",
    "aten::reflection_pad1d",
    "aten::reflection_pad2d",
    "aten::reflection_pad3d",
    causes=(Cause.VALUES, Cause.TAIL),
    source="reflection and replication mixed up",
)
def reflection(right: Right, self: Tensor, padding: list[int], **_: Any) -> Any:
    """The edge itself is repeated."""
    return torch.nn.functional.pad(self, padding, mode="replicate")


@fault(
    "concatenation-tail", "aten::cat", causes=(Cause.TAIL, Cause.VALUES), source="Ascend/pytorch 17: views of a bucket with wrong strides"
)
def concatenation_tail(right: Right, tensors: list[Tensor], dim: int = 0, **_: Any) -> Any:
    """The last slice of the last tensor holds what the slice before it does."""
    result = right()
    if result.ndim and result.shape[dim] > 1 and tensors[-1].numel():
        result = result.clone()
        result.select(dim, -1).copy_(result.select(dim, -2).clone())
    return result
