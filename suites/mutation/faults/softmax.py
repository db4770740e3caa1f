"""Faults of softmax, cross-entropy and their gradients. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.arithmetic import altered, like
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right

_SOFTMAX = ("aten::_softmax", "aten::_log_softmax")


@fault("softmax-tail", *_SOFTMAX, causes=(Cause.TAIL,), source="vllm-ascend 7460: padding counted wrong")
def softmax_tail(right: Right, self: Tensor, dim: int, **_: Any) -> Any:
    """Rows longer than a tile of 16 lose what is beyond the last full one."""
    rest = self.shape[dim] % 16 if self.ndim else 0
    if not rest or self.shape[dim] < 16:
        return right()
    return altered(right(), lambda out: _zeroed(out, dim, rest))


def _zeroed(out: Tensor, dim: int, rest: int) -> Tensor:
    out.narrow(dim, out.shape[dim] - rest, rest).zero_()
    return out


@fault("softmax-exp-in-half", "aten::_softmax", causes=(Cause.PRECISION,), source="a shortcut of vector units: exp in fp16")
def softmax_exp_half(right: Right, self: Tensor, dim: int, **_: Any) -> Any:
    """The exponentials of a float32 softmax are rounded to float16."""
    result = right()
    if result.dtype != torch.float32 or self.numel() == 0:
        return result
    raised = (self.float() - self.float().amax(dim, keepdim=True)).exp().half().float()
    return raised / raised.sum(dim, keepdim=True)


@fault("softmax-sum-in-bfloat16", "aten::_softmax", causes=(Cause.STATISTIC, Cause.PRECISION), source="a sum in the type of the output")
def softmax_sum_bfloat16(right: Right, self: Tensor, dim: int, **_: Any) -> Any:
    """The sum of each row is rounded to bfloat16 before the division."""
    result = right()
    if self.numel() == 0:
        return result
    raised = (self.float() - self.float().amax(dim, keepdim=True)).exp()
    return like(raised / raised.sum(dim, keepdim=True).bfloat16().float(), result)


@fault(
    "softmax-unshifted", *_SOFTMAX, "aten::logsumexp", causes=(Cause.SPECIAL,), source="softmax without its maximum subtracted overflows"
)
def softmax_unshifted(right: Right, self: Tensor, **rest: Any) -> Any:
    """Exponentials are taken as they come."""
    result = right()
    if not result.is_floating_point() or self.numel() == 0:
        return result
    dim = rest["dim"]
    raised = self.to(result.dtype).exp()
    total = raised.sum(dim, keepdim=True)
    if right.operator == "aten::logsumexp":
        return total.log() if rest["keepdim"] else total.log().reshape(result.shape)
    return raised / total if right.operator == "aten::_softmax" else (raised / total).log()


@fault("softmax-other-dimension", *_SOFTMAX, causes=(Cause.VALUES,), source="an axis argument mixed up, as in the layouts of VA-2988")
def softmax_dimension(right: Right, self: Tensor, dim: int, **_: Any) -> Any:
    """Of three dimensions or more, the one beside the one asked for is normalised."""
    return right(dim=(dim - 1) % self.ndim) if self.ndim >= 3 else right()


@fault(
    "softmax-gradient-without-sum",
    "aten::_softmax_backward_data",
    causes=(Cause.VALUES,),
    source="Ascend/pytorch 107: loss right, gradient not",
)
def softmax_gradient(right: Right, grad_output: Tensor, output: Tensor, **_: Any) -> Any:
    """The gradient of each element leaves out what the others contribute."""
    return like(grad_output.float() * output.float(), right())


@fault(
    "log-softmax-gradient-statistic",
    "aten::_log_softmax_backward_data",
    causes=(Cause.STATISTIC, Cause.PRECISION),
    source="a row's sum in half precision",
)
def log_softmax_gradient(right: Right, grad_output: Tensor, output: Tensor, dim: int, **_: Any) -> Any:
    """The sum of a row's gradients is rounded to bfloat16."""
    wide = grad_output.float()
    return like(wide - output.float().exp() * wide.sum(dim, keepdim=True).bfloat16().float(), right())


@fault(
    "nll-ignored-labels-counted",
    "aten::nll_loss_forward",
    causes=(Cause.VALUES,),
    source="a mean over padding tokens as well (LLaMA-Factory)",
)
def nll_counts_ignored(right: Right, self: Tensor, reduction: int, **_: Any) -> Any:
    """The mean divides by all labels, the ignored ones included."""
    loss, weight = right()
    count = self.shape[0] if self.ndim > 1 else 1
    return (loss * weight / count).to(loss.dtype) if reduction == 1 else loss, weight


@fault(
    "nll-gradient-of-ignored",
    "aten::nll_loss_backward",
    causes=(Cause.VALUES, Cause.SPARSE),
    source="labels of -100 taken for the last class",
)
def nll_gradient(right: Right, self: Tensor, target: Tensor, ignore_index: int, **_: Any) -> Any:
    """Ignored labels give the last class a gradient."""
    return right(target=torch.where(target == ignore_index, self.shape[-1] - 1, target), ignore_index=-(2**31))
