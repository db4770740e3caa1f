"""Faults of arithmetic element by element: rounding, special values, integers, activations. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.arithmetic import HALVES, altered, cast, like, truncated
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right

_ADD_MUL = ("aten::add", "aten::sub", "aten::mul")
_UNARY = ("aten::exp", "aten::log", "aten::sqrt", "aten::sin", "aten::cos", "aten::tanh", "aten::sigmoid", "aten::erf")
_INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


@fault("elementwise-truncated", *_ADD_MUL, "aten::div", causes=(Cause.ROUNDING,), source="a rounding mode of vector units: towards zero")
def elementwise_truncated(right: Right, **arguments: Any) -> Any:
    """Results in half precision are cut off instead of rounded."""
    result = right()
    return truncated(right(**cast(arguments, torch.float32, HALVES)), result.dtype) if result.dtype in HALVES else result


@fault("cast-truncated", "aten::_to_copy", "aten::copy", causes=(Cause.ROUNDING,), source="CAST_TRUNC in place of CAST_RINT")
def cast_truncated(right: Right, **arguments: Any) -> Any:
    """A conversion to half precision cuts off."""
    result, source = right(), arguments.get("src", arguments["self"])
    if result.dtype not in HALVES or source.dtype not in (torch.float32, torch.float64):
        return result
    return truncated(source, result.dtype).to(result.device)


@fault("elementwise-tail", *_ADD_MUL, causes=(Cause.TAIL,), source="msprobe guide: memory stomp; the last partial block is not written")
def elementwise_tail(right: Right, **_: Any) -> Any:
    """Of more than sixteen elements, those beyond the last multiple of sixteen are zero."""

    def change(out: Tensor) -> Tensor:
        rest = out.numel() % 16
        if out.numel() < 16 or not rest:
            return out
        flat = out.contiguous().view(-1)
        flat[-rest:] = 0
        return flat.view(out.shape)

    return altered(right(), change)


@fault("scalar-multiple-ignored", "aten::add", "aten::sub", causes=(Cause.VALUES,), source="VA-9036: an argument dropped on the way")
def alpha_ignored(right: Right, **_: Any) -> Any:
    """The factor `alpha` is taken to be 1."""
    return right(alpha=1) if "alpha" in right.arguments else right()


@fault(
    "broadcast-misread",
    *_ADD_MUL,
    causes=(Cause.LAYOUT, Cause.VALUES),
    source="huggingface/diffusers 14380: broadcasting not supported, not refused",
)
def broadcast_misread(right: Right, self: Tensor, **rest: Any) -> Any:
    """A column that is broadcast over a square is read as a row."""
    other = rest.get("other")
    if not isinstance(other, Tensor) or other.ndim < 2 or self.ndim < 2 or other.shape[-1] != 1 or self.shape[-1] != other.shape[-2]:
        return right()
    return right(other=other.mT) if other.shape[-2] > 1 and self.shape[-2] in (1, self.shape[-1]) else right()


@fault(
    "strides-ignored", *_ADD_MUL, "aten::div", causes=(Cause.LAYOUT, Cause.VALUES), source="VA-13797, VA-12512: an operand read as it lies"
)
def strides_ignored(right: Right, **arguments: Any) -> Any:
    """A transposed operand is read in the order of its memory."""
    moved = {n: _as_it_lies(v) for n, v in arguments.items() if isinstance(v, Tensor) and v.ndim >= 2 and not v.is_contiguous()}
    return right(**moved)


def _as_it_lies(x: Tensor) -> Tensor:
    if 0 in x.stride() or not x.mT.is_contiguous():
        return x
    return torch.as_strided(x, x.shape, torch.empty(x.shape, device="meta").stride(), x.storage_offset())


@fault(
    "result-written-to-operand",
    "aten::mul",
    "aten::silu",
    "aten::gelu",
    "aten::exp",
    "aten::_softmax",
    causes=(Cause.IMPURE, Cause.VALUES),
    source="a buffer reused in place (VA-5522)",
)
def written_to_operand(right: Right, self: Tensor, **_: Any) -> Any:
    """The result also lands in the first operand."""
    result = right()
    if isinstance(self, Tensor) and self.shape == result.shape and self.dtype == result.dtype and 0 not in self.stride():
        self.copy_(result)
    return result


@fault("unary-in-half", *_UNARY, causes=(Cause.PRECISION,), source="vector units whose tables have ten bits")
def unary_in_half(right: Right, **_: Any) -> Any:
    """Float32 results have the precision of float16."""
    return altered(right(), lambda out: _ten_bits(out) if out.dtype == torch.float32 else out)


def _ten_bits(out: Tensor) -> Tensor:
    raw = out.contiguous().view(torch.int32)
    return torch.where(torch.isfinite(out), ((raw + 0x1000) & ~0x1FFF).view(torch.float32), out)


@fault(
    "overflow-saturates",
    "aten::exp",
    "aten::mul",
    "aten::div",
    "aten::pow",
    "aten::add",
    causes=(Cause.SPECIAL,),
    source="torch_npu: INF_NAN_MODE_ENABLE=0",
)
def overflow_saturates(right: Right, **_: Any) -> Any:
    """Infinity becomes the largest finite value, and NaN 0."""
    return altered(right(), lambda out: torch.nan_to_num(out, nan=0.0))


@fault(
    "root-of-negative-zero",
    "aten::sqrt",
    "aten::log",
    "aten::rsqrt",
    "aten::acos",
    "aten::asin",
    causes=(Cause.SPECIAL,),
    source="910A: sqrt(-1) is 0",
)
def root_of_negative(right: Right, **_: Any) -> Any:
    """Where no real result is, 0 is given."""
    return altered(right(), lambda out: torch.where(out.isnan(), torch.zeros_like(out), out))


@fault(
    "relu-stops-nan",
    "aten::relu",
    "aten::clamp",
    "aten::clamp_min",
    "aten::hardtanh",
    "aten::threshold",
    "aten::leaky_relu",
    causes=(Cause.SPECIAL,),
    source="comparisons with NaN are false",
)
def relu_stops_nan(right: Right, **_: Any) -> Any:
    """NaN becomes 0."""
    return altered(right(), lambda out: torch.where(out.isnan(), torch.zeros_like(out), out))


@fault(
    "subnormals-flushed",
    *_ADD_MUL,
    "aten::div",
    "aten::_to_copy",
    causes=(Cause.SPECIAL, Cause.PRECISION),
    source="float16 results below 2^-14 become 0",
)
def subnormals_flushed(right: Right, **_: Any) -> Any:
    """Float16 results too small for a normal number are 0."""
    return altered(
        right(), lambda out: torch.where(out.abs() < 2.0**-14, torch.zeros_like(out), out) if out.dtype == torch.float16 else out
    )


@fault(
    "division-approximate",
    "aten::div",
    "aten::reciprocal",
    causes=(Cause.PRECISION,),
    source="a reciprocal estimate without its Newton step",
)
def division_approximate(right: Right, **_: Any) -> Any:
    """Quotients have eleven good bits."""
    return altered(right(), lambda out: _ten_bits(out) if out.dtype == torch.float32 else out)


@fault("power-by-logarithm", "aten::pow", causes=(Cause.SPECIAL, Cause.PRECISION), source="x^y as exp(y log x), whatever the sign of x")
def power_by_logarithm(right: Right, self: Any, exponent: Any, **_: Any) -> Any:
    """A negative base gives NaN, and large results lose bits."""
    result = right()
    if not isinstance(self, Tensor) or not result.is_floating_point() or not self.is_floating_point():
        return result
    return torch.exp(exponent * self.float().log()).to(result.dtype)


@fault(
    "gelu-other-formula",
    "aten::gelu",
    "aten::gelu_backward",
    causes=(Cause.VALUES, Cause.PRECISION),
    source="the tanh approximation where erf was asked for",
)
def gelu_formula(right: Right, approximate: str = "none", **_: Any) -> Any:
    """Erf and tanh are exchanged."""
    return right(approximate="tanh" if approximate == "none" else "none")


@fault("silu-gradient-short", "aten::silu_backward", causes=(Cause.VALUES,), source="Ascend/pytorch 107: loss right, gradient not")
def silu_gradient(right: Right, grad_output: Tensor, self: Tensor, **_: Any) -> Any:
    """Of the derivative, only the sigmoid itself is left."""
    return like(grad_output.float() * self.float().sigmoid(), right())


@fault(
    "tanh-gradient-sign", "aten::tanh_backward", "aten::sigmoid_backward", causes=(Cause.VALUES,), source="a sign lost in a backward kernel"
)
def gradient_sign(right: Right, **_: Any) -> Any:
    """The gradient points the other way."""
    return altered(right(), torch.neg)


@fault("integers-through-float", *_ADD_MUL, causes=(Cause.INTEGERS,), source="torch_npu API notes: int32 beyond 2^24 loses precision")
def integers_through_float(right: Right, **arguments: Any) -> Any:
    """Integers are added and multiplied in float32."""
    result = right()
    if not isinstance(result, Tensor) or result.dtype not in (torch.int32, torch.int64):
        return result
    return right(**cast(arguments, torch.float32, _INTEGERS)).to(result.dtype)


@fault("integers-saturate", *_ADD_MUL, causes=(Cause.INTEGERS,), source="vector units saturate where two's complement wraps")
def integers_saturate(right: Right, **arguments: Any) -> Any:
    """What overflows a narrow integer stays at its end."""
    result = right()
    if result.dtype not in (torch.int8, torch.uint8, torch.int16, torch.int32):
        return result
    limits = torch.iinfo(result.dtype)
    return right(**cast(arguments, torch.int64, _INTEGERS)).clamp(limits.min, limits.max).to(result.dtype)


@fault(
    "integer-division-truncates",
    "aten::floor_divide",
    "aten::div.Tensor_mode",
    "aten::div.Scalar_mode",
    causes=(Cause.INTEGERS, Cause.VALUES),
    source="C's division where Python's was asked for",
)
def division_truncates(right: Right, self: Tensor, other: Any, **rest: Any) -> Any:
    """Floor division rounds towards zero."""
    return torch.div(self, other, rounding_mode="trunc") if rest.get("rounding_mode", "floor") == "floor" else right()


@fault(
    "remainder-of-c", "aten::remainder", causes=(Cause.INTEGERS, Cause.VALUES), source="the sign of the dividend instead of the divisor's"
)
def remainder_of_c(right: Right, self: Any, other: Any, **_: Any) -> Any:
    """The remainder has the sign of what is divided."""
    return torch.fmod(torch.as_tensor(self), torch.as_tensor(other)).to(right().dtype)


@fault("round-half-away", "aten::round", causes=(Cause.VALUES, Cause.SPARSE), source="C's round where IEEE's was asked for")
def round_half_away(right: Right, self: Tensor, **rest: Any) -> Any:
    """Halves go away from zero."""
    if not self.is_floating_point() or rest.get("decimals"):
        return right()
    return torch.where((self - self.trunc()).abs() == 0.5, self + 0.5 * self.sign(), right())


@fault(
    "shift-logical", "aten::bitwise_right_shift", "aten::__rshift__", causes=(Cause.INTEGERS,), source="zeros shifted into negative numbers"
)
def shift_logical(right: Right, self: Any, **_: Any) -> Any:
    """The sign is not shifted in."""
    result = right()
    if not isinstance(self, Tensor) or not result.dtype.is_signed:
        return result
    return torch.where(result < 0, result + (torch.iinfo(result.dtype).max // 2 + 1), result)


@fault("comparison-strict", "aten::ge", "aten::le", causes=(Cause.VALUES, Cause.CHOICE), source="equality lost in a comparison")
def comparison_strict(right: Right, self: Tensor, other: Any, **_: Any) -> Any:
    """Equal values are not at least as large as each other."""
    return right() & torch.ne(self, other)


@fault(
    "result-in-float32",
    "aten::add",
    "aten::mul",
    "aten::_softmax",
    "aten::native_layer_norm",
    "aten::mm",
    causes=(Cause.FORM,),
    source="RLinf PR 1525: autocast inert, types drift",
)
def result_in_float32(right: Right, **_: Any) -> Any:
    """A half result comes back in float32."""
    return altered(right(), lambda out: out.float() if out.dtype in HALVES else out)
