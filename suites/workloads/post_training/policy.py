"""What policy optimization is made of: advantages of a group, clipped ratios, estimates of a divergence. Knows no model and no data."""

from typing import NamedTuple

import torch
from torch import Tensor


def group_advantages(rewards: Tensor, samples: int) -> Tensor:
    """Return A_i = (r_i - mean) / std over each group of `samples` successive rewards [rows], the same shape and dtype.

    DeepSeekMath (arXiv 2402.03300), section 4.1.2. The standard deviation is that of a sample (n - 1); a group whose rewards are all the
    same teaches nothing, and has advantages of 0.
    """
    groups = rewards.view(-1, samples)
    centred, spread = groups - groups.mean(1, keepdim=True), groups.std(1, keepdim=True)
    return torch.where(spread > 0, centred / spread.clamp_min(torch.finfo(rewards.dtype).tiny), 0.0).flatten()


class Clipped(NamedTuple):
    """Of each token [rows, new]: the ratio pi / pi_old, what is to be minimized, and whether the clip took the gradient away."""

    ratio: Tensor
    loss: Tensor
    clipped: Tensor


def clipped_ratio(logprobs: Tensor, old: Tensor, advantages: Tensor, clip: float) -> Clipped:
    """Return -min(r A, clip(r, 1 - clip, 1 + clip) A) of each token, from log-probabilities in nats [rows, new], `advantages` [rows].

    Schulman et al., PPO (arXiv 1707.06347), equation 7, with its sign turned.
    """
    ratio, advantage = torch.exp(logprobs - old), advantages[:, None]
    free, held = ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage
    return Clipped(ratio, -torch.minimum(free, held), held < free)


def k3(other: Tensor, own: Tensor) -> Tensor:
    """Return r - 1 - log r with log r = other - own, elementwise: nowhere negative, and on tokens that `own` sampled KL(own || other).

    Schulman, Approximating KL divergence (2020); equation 4 of DeepSeekMath.
    """
    apart = other - own
    return torch.expm1(apart) - apart


def multiplicative_error(one: Tensor, other: Tensor) -> Tensor:
    """Return exp |one - other| of log-probabilities, elementwise: the factor by which the probabilities differ, 1 where they agree."""
    return torch.exp((one - other).abs())


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over rows of each row's mean over its tokens where `mask` (bool, as `values` [rows, new]) is true, a scalar.

    (1/G) sum_i (1/|o_i|) sum_t, as in equation 3 of DeepSeekMath. Each row has a token that counts.
    """
    return ((values * mask).sum(1) / mask.sum(1)).mean()
