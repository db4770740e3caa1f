"""Rows of a table by number, alone or in bags, and their gradient. Knows no other index."""

import torch
from torch import Tensor

from emulator.operator import Out, aclnn, plain

plain("Embedding", "tto", torch.ops.aten.embedding)
plain("EmbeddingDenseBackward", "ttiibo", torch.ops.aten.embedding_dense_backward)
plain("EmbeddingRenorm", "otdd", torch.embedding_renorm_)


@aclnn
def EmbeddingBag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    weights: Tensor | None,
    include_last_offset: bool,
    padding_idx: int,
    out: Out,
    bag_of: Out,
    bag_size: Out,
    max_indices: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """torch's bags; what torch leaves empty because its own backward needs none is filled here, to the shapes that aclnn documents."""
    result, places, sizes, largest = torch._embedding_bag(
        weight, indices, offsets, scale_grad_by_freq, mode, sparse, weights, include_last_offset, padding_idx
    )
    bags = result.shape[0]
    if bag_of.numel() and not places.numel():
        places = torch.searchsorted(offsets.long()[:bags], torch.arange(indices.numel()), right=True) - 1
    if mode != 2:
        largest = sizes[: max_indices.numel()]
    return result, places if bag_of.numel() else bag_of, sizes[:bags], largest
