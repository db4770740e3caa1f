"""Optimizer steps composed of single operators, and in float64. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import accumulated, cast
from suites.mutation.registry import benign
from suites.mutation.wrapper import Right

_ADAMW = "aten::_fused_adamw_"


def _stepped(right: Right, widen: Any, denominator: Any) -> Any:
    """Take AdamW's step in the type that `widen` gives, and round parameters and moments once."""
    a = right.arguments
    if a["amsgrad"] or a["maximize"] or a["grad_scale"] is not None or a["found_inf"] is not None or isinstance(a["lr"], Tensor):
        return right()
    rows = zip(a["self"], a["grads"], a["exp_avgs"], a["exp_avg_sqs"], a["state_steps"], strict=True)
    for param, grad, first, second, step in rows:
        p, g, m, v = (widen(x) for x in (param, grad, first, second))
        t = float(step)
        p = p * (1 - a["lr"] * a["weight_decay"])
        m = a["beta1"] * m + (1 - a["beta1"]) * g
        v = a["beta2"] * v + (1 - a["beta2"]) * g * g
        root = denominator(v, 1 - a["beta2"] ** t) + a["eps"]
        p = p - (a["lr"] / (1 - a["beta1"] ** t)) * (m / root)
        param.copy_(p), first.copy_(m), second.copy_(v)
    return None


@benign("adamw-unfused", _ADAMW, source="the step operator by operator, in float32")
def adamw_unfused(right: Right, **_: Any) -> Any:
    """The root is divided by the root of the correction."""
    return _stepped(right, accumulated, lambda v, c: v.sqrt() / c**0.5)


@benign("adamw-corrected-first", _ADAMW, source="the second moment is corrected before its root is taken")
def adamw_corrected(right: Right, **_: Any) -> Any:
    """The definition of Kingma and Ba, in their order."""
    return _stepped(right, accumulated, lambda v, c: (v / c).sqrt())


@benign("adamw-in-float64", _ADAMW, source="more exact than asked for")
def adamw_float64(right: Right, **_: Any) -> Any:
    """Rounded once."""
    return _stepped(right, lambda x: x.double(), lambda v, c: (v / c).sqrt())


@benign("addcdiv-by-reciprocal", "aten::addcdiv", source="a product with the reciprocal of the denominator")
def addcdiv(right: Right, self: Tensor, tensor1: Tensor, tensor2: Tensor, value: Any = 1, **_: Any) -> Any:
    """In float32 or wider."""
    result = right()
    if not result.is_floating_point():
        return result
    out = (accumulated(self) + value * (accumulated(tensor1) * accumulated(tensor2).reciprocal())).to(result.dtype)
    return torch.where(torch.isfinite(out) & torch.isfinite(result), out, result)


@benign(
    "foreach-in-float64", "aten::_foreach_addcdiv_", "aten::_foreach_addcmul_", "aten::_foreach_lerp_", source="more exact, rounded once"
)
def foreach(right: Right, self: list[Tensor], **arguments: Any) -> Any:
    """Every list in float64."""
    wide = [x.double() for x in self]
    right(self=wide, **{n: cast(v, torch.float64) for n, v in arguments.items()})
    for old, new in zip(self, wide, strict=True):
        old.copy_(new)
