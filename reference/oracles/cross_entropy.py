"""Cross-entropy of class labels by log-sum-exp. Knows no dtype, device or fused kernel.

Source: `-log softmax(logits)[label]`, reduced and ignored as torch.nn.functional.cross_entropy documents it.
"""

from torch import Tensor

from reference.oracles.softmax import log_sum_exp


def cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """Return `log sum_j exp(logits[i, j]) - logits[i, labels[i]]`, and 0 where the label is `ignore_index`.

    `logits` are [tokens, classes], `labels` int64 [tokens]. `reduction` "none" gives [tokens]; "mean" a scalar, over the
    labels that count (NaN when none does). Raises ValueError for another reduction.
    """
    counts = labels != ignore_index
    picked = logits.gather(1, labels.masked_fill(~counts, 0)[:, None]).squeeze(1)
    losses = (log_sum_exp(logits, 1) - picked).masked_fill(~counts, 0.0)
    if reduction == "none":
        return losses
    if reduction != "mean":
        raise ValueError(f"reduction {reduction!r}: this oracle knows 'mean' and 'none'")
    return losses.sum() / counts.sum()
