"""What the model is trained by: the next token, the one after it, the indexer. Knows no optimizer.

Sources: DeepSeek-V3 technical report (arXiv 2412.19437), eq. 24 and 25 (MTP); DeepSeek-V3.2 technical report, eq. 4 (indexer).
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from reference.oracles.deepseek_v4.config import Config
from reference.oracles.deepseek_v4.model import forward, predict_further
from reference.oracles.deepseek_v4.samples import Samples
from reference.oracles.softmax import log_sum_exp


class Losses(NamedTuple):
    """Scalars in nats a token: of the next token, of the one after it (MTP), and of the indexers, summed over the sparse layers."""

    next_token: Tensor
    further: Tensor
    indexer: Tensor


def losses(weights: Mapping[str, Tensor], config: Config, tokens: Tensor, samples: Samples | None = None) -> Losses:
    """Return all losses of `tokens` [batch, length]. A target is counted where it stands in the sample of the token that predicts it."""
    samples = samples or Samples.from_mask(tokens.new_ones(tokens.shape))
    result = forward(weights, config, tokens, samples)
    further = predict_further(weights, config, result.streams, tokens, samples)
    indexers = result.indexer_losses()
    return Losses(
        prediction_loss(result.logits, tokens, samples, 1), prediction_loss(further, tokens, samples, 2),
        torch.stack(indexers).sum() if indexers else result.logits.new_zeros(()),
    )  # fmt: skip


def prediction_loss(logits: Tensor, tokens: Tensor, samples: Samples, ahead: int) -> Tensor:
    """Return the mean cross-entropy in nats of the token that stands `ahead` places after the one whose logits are given."""
    counted = samples.followed(ahead).to(logits.device)
    target = tokens.roll(-ahead, 1)
    missed = log_sum_exp(logits, -1) - logits.gather(-1, target[..., None])[..., 0]
    return torch.where(counted, missed, 0.0).sum() / counted.sum()
