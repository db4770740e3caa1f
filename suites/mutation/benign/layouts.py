"""Right values that lie elsewhere in memory, or come from operands that were copied. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import altered
from suites.mutation.registry import benign
from suites.mutation.wrapper import Right

_FAMILIES = {
    "products": ("aten::mm", "aten::bmm", "aten::addmm"), "elementwise": ("aten::add", "aten::mul", "aten::sub", "aten::div"),
    "softmax": ("aten::_softmax", "aten::_log_softmax"), "reductions": ("aten::sum", "aten::mean", "aten::amax"),
}  # fmt: skip


def inside_a_buffer(right: Right, /, **_: Any) -> Any:
    """Return a contiguous result that begins inside a larger allocation."""

    def change(out: Tensor) -> Tensor:
        if not out.is_contiguous():
            return out
        buffer = torch.full((out.numel() + 32,), torch.nan, dtype=out.dtype, device=out.device)
        inner = buffer[16 : 16 + out.numel()].view(out.shape)
        inner.copy_(out)
        return inner

    return altered(right(), change)


for _name, _operators in _FAMILIES.items():
    benign(f"{_name}-inside-a-buffer", *_operators, source="an allocator may place a result anywhere")(inside_a_buffer)


@benign(
    "elementwise-contiguous", "aten::add", "aten::mul", "aten::silu", "aten::exp", source="strides of a result follow an operand's, or not"
)
def contiguous(right: Right, **_: Any) -> Any:
    """A result is contiguous, however its operands lie."""
    return altered(right(), lambda out: out.contiguous())
