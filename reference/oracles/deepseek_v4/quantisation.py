"""What V4 computes with and stores in few bits, straight through: the indexer's queries and keys, and entries. Knows no layer.

Source: DeepSeek-V4 technical report, arXiv 2606.19348, on FP4 quantization-aware training and on the cache of keys and values; the blocks
of 64 are those of DeepSeek's published inference code. Its Hadamard rotation of queries and keys before the rounding is left out, as
transformers leaves it out. x + (rounded - x) is the rounded value to the bit: of two numbers that are within a factor of two the
difference is exact (Sterbenz), and a number that is rounded to the nearest is further away only if it becomes zero.
"""

import torch
from torch import Tensor

from reference.oracles.block_formats import FP8_ENTRIES, MXFP4


def four_bits(x: Tensor) -> Tensor:
    """Return x [..., width] in MXFP4; its gradient is that of what is returned."""
    return _through(x, MXFP4.round_trip(x.detach()))


def cached(entries: Tensor, turned: int) -> Tensor:
    """Return entries [..., width] as the cache has them: FP8 in blocks of 64, the last `turned` components bfloat16. Gradients as above."""
    still, moving = entries[..., :-turned], entries[..., -turned:]
    return torch.cat([_through(still, FP8_ENTRIES.round_trip(still.detach())), _through(moving, in_bfloat16(moving.detach()))], -1)


def in_bfloat16(x: Tensor) -> Tensor:
    """Return x rounded to bfloat16, in its own dtype."""
    return x.bfloat16().to(x.dtype)


def _through(x: Tensor, rounded: Tensor) -> Tensor:
    return x + (rounded - x).detach()
