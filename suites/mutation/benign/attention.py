"""Attention composed, in blocks, with probabilities in half precision, in float64. Knows no case.

A variant is both the forward and the backward operator: a backward that recomputes scores in another way than the forward, whose
logarithm it takes, is no sound pair.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import HALVES, accumulated, cut, like
from suites.mutation.registry import benign
from suites.mutation.wrapper import Right

_FORWARD = "aten::_scaled_dot_product_flash_attention_for_cpu"
_BACKWARD = "aten::_scaled_dot_product_flash_attention_for_cpu_backward"


@dataclass(frozen=True)
class Attention:
    """Operands of one call in float32 or wider, [batch, heads, length, width], key heads repeated `groups` times."""

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor
    scale: float
    groups: int

    @classmethod
    def of(cls, arguments: Any, widen: Any = accumulated) -> "Attention":
        """Take the operands from the arguments of the CPU's operator, forward or backward."""
        query, key, value = (widen(arguments[n]) for n in ("query", "key", "value"))
        groups = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(groups, 1) if groups > 1 else x for x in (key, value))
        bias = torch.zeros(query.shape[-2], key.shape[-2], dtype=query.dtype, device=query.device)
        if arguments["is_causal"]:
            bias = bias.masked_fill(torch.ones_like(bias, dtype=torch.bool).triu(1), -torch.inf)
        if arguments["attn_mask"] is not None:
            bias = bias + widen(arguments["attn_mask"])
        scale = arguments["scale"]
        return cls(query, key, value, bias, query.shape[-1] ** -0.5 if scale is None else scale, groups)

    def scores(self) -> Tensor:
        """Return scaled and biased scores."""
        return (self.query @ self.key.mT) * self.scale + self.bias


def _softmax(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities (0 where nothing is seen) and the logarithm of their sum, [.., length]."""
    top = scores.amax(-1, keepdim=True)
    top = torch.where(top.isinf(), torch.zeros_like(top), top)
    raised = torch.exp(scores - top)
    total = raised.sum(-1, keepdim=True)
    return torch.where(total > 0, raised / total, torch.zeros_like(raised)), (top + total.log()).squeeze(-1)


def _result(right: Right, out: Tensor, logarithm: Tensor) -> Any:
    plain = right()
    seen = torch.isfinite(logarithm).unsqueeze(-1)  # rows that see nothing are the operator's own
    out = torch.where(seen, out.to(plain[0].dtype), plain[0])
    return (out, torch.where(torch.isfinite(logarithm), logarithm.to(plain[1].dtype), plain[1]), *plain[2:])


def _applies(arguments: Any) -> bool:
    return not arguments["dropout_p"] and arguments["query"].ndim == 4 and arguments["query"].numel() > 0 and arguments["key"].numel() > 0


@benign("attention-composed", _FORWARD, _BACKWARD, source="products and a softmax in float32")
def composed(right: Right, **arguments: Any) -> Any:
    """Nothing is fused."""
    if not _applies(arguments):
        return right()
    if right.operator == _BACKWARD:
        return _gradients(right)
    one = Attention.of(arguments)
    weights, logarithm = _softmax(one.scores())
    return _result(right, weights @ one.value, logarithm)


@benign(
    "attention-half-probabilities", _FORWARD, _BACKWARD, source="probabilities in the operands' half type, as flash attention keeps them"
)
def half_probabilities(right: Right, **arguments: Any) -> Any:
    """Half types only: exponentials are rounded before the product with the values, the sum is not."""
    dtype = arguments["query"].dtype
    if dtype not in HALVES or not _applies(arguments):
        return right()
    if right.operator == _BACKWARD:
        return _gradients(right)
    one = Attention.of(arguments)
    scores = one.scores()
    top = scores.amax(-1, keepdim=True)
    top = torch.where(top.isinf(), torch.zeros_like(top), top)
    raised = torch.exp(scores - top)
    total = raised.sum(-1, keepdim=True)
    return _result(right, (raised.to(dtype).float() @ one.value) / total, (top + total.log()).squeeze(-1))


def _in_blocks(right: Right, arguments: Any, size: int) -> Any:
    if not _applies(arguments):
        return right()
    if right.operator == _BACKWARD:
        return _gradients(right)
    one = Attention.of(arguments)
    scores = one.scores()
    top = torch.full_like(scores[..., :1], -torch.inf)
    total, out = torch.zeros_like(top), torch.zeros_like(one.query @ one.value.mT @ one.value)
    for block, value in zip(cut(scores, size), cut(one.value, size, -2), strict=True):
        new = torch.maximum(top, block.amax(-1, keepdim=True))
        safe = torch.where(new.isinf(), torch.zeros_like(new), new)
        shrink = torch.exp(torch.where(top.isinf(), -torch.inf, top - safe))
        raised = torch.exp(block - safe)
        total, out = total * shrink + raised.sum(-1, keepdim=True), out * shrink + raised @ value
        top = new
    return _result(right, out / total, (top + total.log()).squeeze(-1))


@benign("attention-in-blocks-of-16", _FORWARD, _BACKWARD, source="flash attention")
def blocks_of_16(right: Right, **arguments: Any) -> Any:
    """Sixteen keys at a time."""
    return _in_blocks(right, arguments, 16)


@benign("attention-in-blocks-of-64", _FORWARD, _BACKWARD, source="flash attention")
def blocks_of_64(right: Right, **arguments: Any) -> Any:
    """Sixty-four keys at a time."""
    return _in_blocks(right, arguments, 64)


@benign("attention-in-float64", _FORWARD, _BACKWARD, source="more exact than asked for")
def float64(right: Right, **arguments: Any) -> Any:
    """By the definition, rounded once."""
    if not _applies(arguments):
        return right()
    if right.operator == _BACKWARD:
        return _gradients(right, _double)
    one = Attention.of(arguments, _double)
    weights, logarithm = _softmax(one.scores())
    return _result(right, weights @ one.value, logarithm)


def _double(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


@benign("attention-gradient-composed", _BACKWARD, source="the textbook formula in float32")
def gradient(right: Right, **arguments: Any) -> Any:
    """Probabilities are computed anew; gradients of grouped heads are summed in float32."""
    return _gradients(right) if _applies(arguments) else right()


def _gradients(right: Right, widen: Any = accumulated) -> Any:
    """Return the gradients of query, key and value by the textbook formula."""
    one, g = Attention.of(right.arguments, widen), widen(right.arguments["grad_out"])
    weights, _ = _softmax(one.scores())
    d_weights = g @ one.value.mT
    d_scores = weights * (d_weights - (weights * d_weights).sum(-1, keepdim=True))
    grads = [d_scores @ one.key * one.scale, d_scores.mT @ one.query * one.scale, weights.mT @ g]
    if one.groups > 1:
        grads[1:] = [x.unflatten(1, (-1, one.groups)).sum(2) for x in grads[1:]]
    return like(tuple(grads), tuple(right()))
