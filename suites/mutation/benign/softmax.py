"""Softmax, log-softmax, log-sum-exp and cross-entropy, online, in blocks, unfused. Knows no case."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import accumulated, cut, in_blocks, in_float64, like, pairwise
from suites.mutation.registry import benign
from suites.mutation.wrapper import Function, Right


def online(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return maximum and sum of shifted exponentials along the last dimension, [.., 1] each, block after block."""
    top = torch.full_like(x[..., :1], -torch.inf)
    total = torch.zeros_like(top)
    for block in cut(x, size):
        new = torch.maximum(top, block.amax(-1, keepdim=True))
        safe = torch.where(new.isinf(), torch.zeros_like(new), new)
        total = total * torch.exp(torch.where(top.isinf(), -torch.inf, top - safe)) + torch.exp(block - safe).sum(-1, keepdim=True)
        top = new
    return torch.where(top.isinf(), torch.zeros_like(top), top), total


def last(form: Callable[[Tensor], Tensor]) -> Function:
    """Return a mutant's function: `form` along the last dimension of a finite real tensor in float32 or wider."""

    def function(right: Right, /, self: Tensor, dim: int, **_: Any) -> Any:
        result = right()
        if self.ndim == 0 or self.numel() == 0 or not result.is_floating_point() or not bool(torch.isfinite(result).all()):
            return result
        return form(accumulated(self).movedim(dim, -1)).movedim(-1, dim).to(result.dtype).contiguous()

    return function


def _online(size: int) -> Callable[[Tensor], Tensor]:
    def form(x: Tensor) -> Tensor:
        top, total = online(x, size)
        return torch.exp(x - top) / total

    return form


def _shifted(x: Tensor) -> Tensor:
    return x - x.amax(-1, keepdim=True)


def _by_powers_of_two(x: Tensor) -> Tensor:
    raised = torch.exp2(_shifted(x) * 1.4426950408889634)
    return raised / raised.sum(-1, keepdim=True)


def _by_reciprocal(x: Tensor) -> Tensor:
    raised = torch.exp(_shifted(x))
    return raised * raised.sum(-1, keepdim=True).reciprocal()


def _summed(order: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def form(x: Tensor) -> Tensor:
        raised = torch.exp(_shifted(x))
        return raised / order(raised).unsqueeze(-1)

    return form


def _last_bit(x: Tensor) -> Tensor:
    result = torch.softmax(x, -1)
    turn = torch.arange(result.numel(), device=x.device).reshape(result.shape) % 3 - 1
    return result * (1 + turn.to(result.dtype) * torch.finfo(result.dtype).eps)


_SOFTMAX: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "online-blocks-of-16": (_online(16), "online softmax (Milakov and Gimelshein 2018)"),
    "online-blocks-of-128": (_online(128), "online softmax"),
    "by-powers-of-two": (_by_powers_of_two, "exp2 of a scaled argument, as flash attention does"),
    "by-reciprocal": (_by_reciprocal, "a product with the reciprocal of the sum"),
    "summed-pairwise": (_summed(pairwise), "no order is promised"),
    "summed-in-blocks": (_summed(lambda x: in_blocks(x.flip(-1), 64)), "no order is promised"),
    "through-logarithm": (lambda x: torch.exp(torch.log_softmax(x, -1)), "exp of the log-softmax"),
    "last-bit": (_last_bit, "results within one unit of the last place; near-ties of a router swap"),
}
for _name, (_form, _source) in _SOFTMAX.items():
    benign(f"softmax-{_name}", "aten::_softmax", source=_source)(last(_form))


def _log_online(x: Tensor) -> Tensor:
    top, total = online(x, 32)
    return x - top - total.log()


_LOG: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "unfused": (lambda x: _shifted(x) - torch.logsumexp(_shifted(x), -1, keepdim=True), "a shift, a log-sum-exp and a subtraction"),
    "online": (_log_online, "maximum and sum block after block"),
    "by-powers-of-two": (lambda x: _shifted(x) - torch.exp2(_shifted(x) * 1.4426950408889634).sum(-1, keepdim=True).log(), "exp2"),
}
for _name, (_form, _source) in _LOG.items():
    benign(f"log-softmax-{_name}", "aten::_log_softmax", source=_source)(last(_form))

benign("softmax-in-float64", "aten::_softmax", source="more exact than asked for")(in_float64)
benign("log-softmax-in-float64", "aten::_log_softmax", source="more exact than asked for")(in_float64)
benign("logsumexp-in-float64", "aten::logsumexp", "aten::logcumsumexp", source="more exact than asked for")(in_float64)


@benign("softmax-gradient-other-form", "aten::_softmax_backward_data", source="g y - y sum(g y) instead of y (g - sum(g y))")
def softmax_gradient(right: Right, grad_output: Tensor, output: Tensor, dim: int, **_: Any) -> Any:
    """The product is taken before the difference."""
    weighted = accumulated(grad_output) * accumulated(output)
    if output.ndim == 0:
        return right()
    return like(weighted - accumulated(output) * weighted.sum(dim, keepdim=True), right())


@benign("softmax-gradient-in-blocks", "aten::_softmax_backward_data", source="no order is promised")
def softmax_gradient_blocks(right: Right, grad_output: Tensor, output: Tensor, dim: int, **_: Any) -> Any:
    """The inner sum goes over blocks of 32."""
    if output.ndim == 0 or output.numel() == 0:
        return right()
    g, y = accumulated(grad_output), accumulated(output)
    inner = in_blocks((g * y).movedim(dim, -1), 32).unsqueeze(dim)
    return like(y * (g - inner), right())


@benign("log-softmax-gradient-in-blocks", "aten::_log_softmax_backward_data", source="no order is promised")
def log_softmax_gradient_blocks(right: Right, grad_output: Tensor, output: Tensor, dim: int, **_: Any) -> Any:
    """The inner sum goes over blocks of 64, from the end."""
    if output.ndim == 0 or output.numel() == 0:
        return right()
    g = accumulated(grad_output)
    inner = in_blocks(g.movedim(dim, -1).flip(-1), 64).unsqueeze(dim)
    return like(g - accumulated(output).exp() * inner, right())


benign("softmax-gradient-in-float64", "aten::_softmax_backward_data", "aten::_log_softmax_backward_data", source="more exact")(in_float64)


@benign("logsumexp-online", "aten::logsumexp", source="maximum and sum block after block")
def logsumexp_online(right: Right, self: Tensor, dim: list[int], keepdim: bool = False, **_: Any) -> Any:
    """Blocks of sixteen."""
    result = right()
    if len(dim) != 1 or self.ndim == 0 or self.numel() == 0 or not self.is_floating_point() or not bool(torch.isfinite(self).all()):
        return result
    top, total = online(accumulated(self).movedim(dim[0], -1), 16)
    out = (top + total.log()).movedim(-1, dim[0])
    return (out if keepdim else out.squeeze(dim[0])).to(result.dtype)
