"""Faults of optimizer steps, fused and by lists of tensors. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right

_FUSED = ("aten::_fused_adamw_", "aten::_fused_adam_", "aten::_fused_adamw_.tensor_lr", "aten::_fused_adam_.tensor_lr")


@fault(
    "fused-step-skips-last",
    *_FUSED,
    "aten::_fused_sgd_",
    causes=(Cause.VALUES, Cause.TAIL),
    source="a list of tensors longer than one launch takes",
)
def fused_last(right: Right, self: list[Tensor], grads: list[Tensor], **rest: Any) -> Any:
    """Of several tensors the last keeps its value."""
    if len(self) < 2:
        for tensor in self:
            _undo_tail(right, tensor)
        return None
    kept = self[-1].clone()
    right()
    self[-1].copy_(kept)
    return None


def _undo_tail(right: Right, tensor: Tensor) -> None:
    """Of a single tensor, what lies beyond the last multiple of sixteen keeps its value."""
    rest = tensor.numel() % 16
    kept = tensor.clone().reshape(-1)
    right()
    if rest and tensor.is_contiguous():
        tensor.view(-1)[-rest:] = kept[-rest:]


@fault("fused-decay-coupled", *_FUSED, causes=(Cause.VALUES,), source="Adam with L2 in place of AdamW")
def fused_decay(right: Right, self: list[Tensor], grads: list[Tensor], weight_decay: float, **_: Any) -> Any:
    """The decay goes into the gradient instead of the weight."""
    return right(grads=[g + weight_decay * p for g, p in zip(grads, self, strict=True)], weight_decay=0.0)


@fault("fused-eps-inside", *_FUSED, causes=(Cause.VALUES, Cause.PRECISION), source="epsilon under the root")
def fused_eps(right: Right, eps: float, **_: Any) -> Any:
    """Epsilon is larger by its own root."""
    return right(eps=eps**0.5)


@fault(
    "lerp-from-the-other-end",
    "aten::lerp_",
    "aten::lerp",
    "aten::_foreach_lerp_",
    causes=(Cause.VALUES,),
    source="the weights of a moving average exchanged",
)
def lerp_other_end(right: Right, weight: Any, **_: Any) -> Any:
    """The weight counts for the start instead of the end."""
    return right(weight=1 - weight) if isinstance(weight, (float, int, Tensor)) else right()


@fault(
    "foreach-tail",
    "aten::_foreach_addcdiv_",
    "aten::_foreach_mul_",
    "aten::_foreach_add_",
    "aten::_foreach_mul",
    "aten::_foreach_add",
    causes=(Cause.TAIL, Cause.VALUES),
    source="a launch over many tensors that rounds sizes down",
)
def foreach_tail(right: Right, self: list[Tensor], **_: Any) -> Any:
    """In each tensor of the list the last element is left as it was."""
    before = [tensor.clone() for tensor in self]
    result = right()
    for new, old in zip(self if result is None else result, before, strict=True):
        if new.numel() > 1 and new.shape == old.shape:
            new[tuple(n - 1 for n in new.shape)] = old[tuple(n - 1 for n in old.shape)].to(new.dtype)
    return result


@fault("addcdiv-value-ignored", "aten::addcdiv", "aten::addcmul", causes=(Cause.VALUES,), source="VA-9036: an argument dropped on the way")
def addcdiv_value(right: Right, **_: Any) -> Any:
    """The factor is taken to be 1."""
    return right(value=1)


@fault("addcdiv-root-in-half", "aten::addcdiv", causes=(Cause.PRECISION,), source="optimizer state rounded on the way")
def addcdiv_half(right: Right, tensor2: Tensor, **_: Any) -> Any:
    """The denominator is rounded to bfloat16."""
    return right(tensor2=tensor2.to(torch.bfloat16).to(tensor2.dtype))
