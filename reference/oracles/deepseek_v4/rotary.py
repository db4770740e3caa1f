"""Partial, interleaved rotary embedding of the last dimensions, forth and back, and YaRN's frequencies. Knows no weight.

Sources: Su et al. 2021 (RoFormer), eq. 12 to 15; Peng et al. 2023 (YaRN, arXiv 2309.00071), section 3.2; DeepSeek-V4 technical report,
section 2.3.3 (the last 64 dimensions, and the output turned back by its own position). YaRN's temperature on the attention (its section
3.4) is no part of V4: the factor is 1.
"""

import math

import torch
from torch import Tensor

from reference.oracles.deepseek_v4.config import Rope


def frequencies(rope: Rope, width: int) -> Tensor:
    """Return the angle in radians by which each pair turns from one position to the next, float64 [width / 2], on the host.

    YaRN: pairs that turn more than `fast` times in the original context keep their frequency, those that turn less than `slow` times
    are slowed down by `factor`, and those between them in part, linearly in the number of the pair.
    """
    pairs = torch.arange(width // 2, dtype=torch.float64)
    plain = rope.theta ** (-2 * pairs / width)
    if rope.factor == 1:
        return plain

    def pair_that_turns(times: float) -> float:
        return width * math.log(rope.original / (times * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = max(math.floor(pair_that_turns(rope.fast)), 0), min(math.ceil(pair_that_turns(rope.slow)), width - 1)
    slowed = ((pairs - low) / max(high - low, 1e-3)).clamp(0, 1)
    return plain * (1 - slowed) + plain / rope.factor * slowed


def turn(states: Tensor, positions: Tensor, by: Tensor, back: bool = False) -> Tensor:
    """Turn the pairs (2i, 2i + 1) of the last dimensions of `states` [batch, length, ..., width] by position times `by` [pairs].

    `positions` is [batch, length]; with `back` the angle is negative. The angles are worked out in float64, on the host.
    """
    angles = positions.cpu().double()[..., None] * (-by if back else by)
    between = states.dim() - angles.dim()
    cos, sin = (t.reshape(*t.shape[:2], *[1] * between, len(by)).to(states) for t in (angles.cos(), angles.sin()))
    still, moving = states[..., : -2 * len(by)], states[..., -2 * len(by) :]
    even, odd = moving[..., 0::2], moving[..., 1::2]
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1)
    return torch.cat([still, turned.flatten(-2)], -1)
