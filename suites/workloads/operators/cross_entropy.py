"""Cross-entropy with ignored labels, a loss a token and their mean. Knows no device."""

import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import cross_entropy as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype

IGNORED = -100


def cross_entropy(inputs: Inputs, /, *, tokens: int, classes: int, reduction: str) -> Step:
    """Score [tokens, classes] with about a quarter of the labels ignored; returns `out`, `grad_logits`.

    The cotangent of the mean is about `tokens`: as under a loss scaler, float16 gradients then do not vanish.
    """
    operator = oracle.cross_entropy if inputs.golden else F.cross_entropy
    ignored = inputs.integers("ignored", (tokens,), 0, 4) == 0
    labels = inputs.integers("labels", (tokens,), 0, classes).masked_fill(ignored, IGNORED)

    def score(logits: Tensor) -> Tensor:
        return operator(logits, labels, ignore_index=IGNORED, reduction=reduction)

    operands = {"logits": inputs.normal("logits", (tokens, classes), scale=3.0)}
    if reduction == "mean":
        cotangent = inputs.normal("cotangent", (), scale=tokens / 8, mean=tokens)
    else:
        cotangent = inputs.normal("cotangent", (tokens,))
    return Step(differentiate(score, operands, cotangent))


CASES = in_each_dtype(
    cross_entropy,
    {
        "cross_entropy": {"tokens": 17, "classes": 8191, "reduction": "mean"},
        "cross_entropy-each": {"tokens": 129, "classes": 1000, "reduction": "none"},
    },
)
