"""torch_npu's fused cross-entropies and masked softmaxes. Knows no device."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from harness.case import Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.probed import Probed
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs, draw_integers
from reference.oracles.fused import losses as oracle
from suites.workloads.operators.fused.drawing import whole
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import HALVES, on_npu


def cross_entropy(
    inputs: Inputs, /, *, tokens: int, classes: int, reduction: str, weighted: bool = False, smoothing: float = 0.0, ignored: int = -100
) -> Step:
    """Compare logits with targets; returns `loss`, `log_prob`, `grad_logits`."""
    operator = inputs.fused("npu_cross_entropy_loss", oracle.cross_entropy_loss)
    target = whole(inputs, "target", (tokens,), 0, classes, torch.int64)
    weight = inputs.normal("weight", (classes,), 0.2, 1.0, torch.float32) if weighted else None
    options: dict[str, Any] = {"reduction": reduction, "ignore_index": ignored, "label_smoothing": smoothing}

    def call(logits: Tensor) -> dict[str, Tensor]:
        loss, log_prob = operator(logits, target, weight, **options)[:2]
        return {"loss": loss, "log_prob": log_prob}

    cotangent = inputs.normal("cotangent", (tokens if reduction == "none" else 1,), 0.2, 1.0)
    return Step(with_gradients(call, {"logits": inputs.normal("logits", (tokens, classes), 3.0)}, {"loss": cotangent}))


def vocabulary_part(inputs: Inputs, /, *, tokens: int, width: int, words: int, first: int) -> Step:
    """Multiply hidden states by a part of the table of words; returns `top`, `total`, `predicted`, `logits`."""
    hidden, table = inputs.normal("hidden", (tokens, width)), inputs.normal("table", (words, width), width**-0.5)
    target = whole(inputs, "target", (tokens,), 0, 2 * words, torch.int64)

    def plain(hidden: Tensor, table: Tensor, target: Tensor, first: int, last: int, _keep: bool) -> tuple[Any, ...]:
        top, total, predicted, logits = oracle.linear_online_max_sum(hidden, table, target, first, last)
        return top, total, predicted, None, None, logits

    operator = inputs.fused("npu_fused_linear_online_max_sum", plain)
    inside = (target >= first) & (target < first + words)

    def call() -> dict[str, Tensor]:
        top, total, predicted, _, _, logits = operator(hidden, table, target, first, first + words - 1, True)
        return {"top": top, "total": total, "predicted": torch.where(inside, predicted, 0.0), "logits": logits}

    return Step(call)


def parallel(inputs: Inputs, /, *, tokens: int, words: int) -> Step:
    """Give the loss from maxima and sums over all parts; returns `loss`, `softmax`."""
    operator = inputs.fused(
        "npu_fused_cross_entropy_loss_with_max_sum",
        lambda top, total, predicted, *, vocab_parallel_logits: oracle.parallel_cross_entropy(top, total, predicted, vocab_parallel_logits),
    )
    top, predicted = (inputs.normal(name, (tokens,), 0.5, mean, torch.float32) for name, mean in (("top", 4.0), ("predicted", -2.0)))
    total = inputs.normal("total", (tokens,), 1.0, 20.0, torch.float32)
    logits = inputs.normal("logits", (tokens, words))
    return Step(lambda: dict(zip(("loss", "softmax"), operator(top, total, predicted, vocab_parallel_logits=logits), strict=True)))


def linear_backward(inputs: Inputs, /, *, tokens: int, width: int, words: int) -> Step:
    """Give the gradients of a linear layer under a cross-entropy, from its softmax; returns `grad_hidden`, `grad_table`."""
    hidden, table = inputs.normal("hidden", (tokens, width)), inputs.normal("table", (words, width), width**-0.5)
    target, grad = whole(inputs, "target", (tokens,), 0, words, torch.int64), inputs.normal("grad", (tokens,), 0.2, 1.0, torch.float32)
    online = inputs.fused("npu_fused_linear_online_max_sum", lambda hidden, table, target, *_: (None, None, None, None, target))
    backward = inputs.fused("npu_fused_linear_cross_entropy_loss_with_max_sum_backward", _linear_backward)
    shares = torch.from_numpy(draw_integers(inputs.seed, "softmax", tokens * words, 0, 64)).view(tokens, words)
    softmax = inputs.given("softmax", shares.float() / 2**12)  # the formula holds whether or not they sum to 1

    def call() -> dict[str, Tensor]:
        found = online(hidden, table, target, 0, words - 1, False)
        return dict(zip(("grad_hidden", "grad_table"), backward(grad, hidden, table, found[3], found[4], softmax=softmax), strict=True))

    return Step(call)


def _linear_backward(grad: Tensor, hidden: Tensor, table: Tensor, _: None, target: Tensor, *, softmax: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients `g table` and `g^T hidden` of hidden and table, `g = grad (softmax - onehot(target))`."""
    one_hot = torch.zeros_like(softmax).scatter(1, target[:, None], 1.0)
    through = ((softmax - one_hot) * grad[:, None]).to(hidden.dtype)
    return through @ table, through.T @ hidden


def biased_softmax(inputs: Inputs, /, *, batch: int, windows: int, heads: int, side: int, masked: bool) -> Step:
    """Softmax with a bias of relative positions; returns `out`."""
    operator = inputs.fused("npu_masked_softmax_with_rel_pos_bias", oracle.masked_softmax_with_rel_pos_bias)
    x, bias = inputs.normal("x", (batch, windows, heads, side, side)), inputs.normal("bias", (heads, side, side))
    mask = inputs.normal("mask", (windows, side, side)) if masked else None
    return Step(lambda: {"out": operator(x, mask, bias, 0.7)})


WORDS: Mapping[str, Scalar] = {"tokens": 33, "classes": 129}

CASES = (
    *on_npu(
        cross_entropy,
        {
            "npu_cross_entropy_loss-none": {**WORDS, "reduction": "none"},
            "npu_cross_entropy_loss-mean": {**WORDS, "reduction": "mean", "ignored": 5},
            "npu_cross_entropy_loss-smoothed": {"tokens": 17, "classes": 65, "reduction": "none", "weighted": True, "smoothing": 0.1},
            "npu_cross_entropy_loss-sum": {**WORDS, "reduction": "sum", "weighted": True},
        },
    ),
    *on_npu(
        vocabulary_part, {"npu_fused_linear_online_max_sum": {"tokens": 33, "width": 64, "words": 97, "first": 40}}, HALVES,
        (SpecialValues(), Closeness(), Probed()),
    ),
    *on_npu(parallel, {"npu_fused_cross_entropy_loss_with_max_sum": {"tokens": 33, "words": 97}}, ("float32",)),
    *on_npu(
        linear_backward, {"npu_fused_linear_cross_entropy_loss_with_max_sum_backward": {"tokens": 33, "width": 64, "words": 96}}, HALVES
    ),
    *on_npu(
        biased_softmax,
        {
            "npu_masked_softmax_with_rel_pos_bias": {"batch": 2, "windows": 3, "heads": 4, "side": 33, "masked": True},
            "npu_masked_softmax_with_rel_pos_bias-unmasked": {"batch": 2, "windows": 3, "heads": 4, "side": 17, "masked": False},
        },
    ),
)  # fmt: skip
