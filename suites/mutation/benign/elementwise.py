"""Functions element by element by other formulas of the same accuracy. Knows no case."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import accumulated, in_float64, like
from suites.mutation.registry import benign
from suites.mutation.wrapper import Function, Right

_LN2, _LOG2E = 0.6931471805599453, 1.4426950408889634


def pointwise(form: Callable[[Tensor], Tensor]) -> Function:
    """Return a mutant's function: `form` of a real floating `self` in float32 or wider; where that is not finite, the right result."""

    def function(right: Right, /, self: Tensor, **_: Any) -> Any:
        result = right()
        if not self.is_floating_point() or not result.is_floating_point():
            return result
        other = form(accumulated(self)).to(result.dtype)
        return torch.where(torch.isfinite(result) & torch.isfinite(other), other, result)

    return function


def _exp(x: Tensor) -> Tensor:
    """Return exp with the argument reduced by multiples of ln 2 in two parts, and exp2 of none but the small rest."""
    k = torch.round(x * _LOG2E)
    high, low = 0.693359375, -2.12194440e-4  # Cody and Waite
    return torch.exp((x - k * high) - k * low) * torch.exp2(k)


def _tanh(x: Tensor) -> Tensor:
    falling, large = torch.expm1(-2 * x.abs()), 1 - 2 / (torch.exp(2 * x.abs().clamp(max=20)) + 1)
    return torch.copysign(torch.where(x.abs() > 0.6, large, -falling / (falling + 2)), x)


def _exp_last_bit(x: Tensor) -> Tensor:
    """Return exp with every second result one unit of the last place larger."""
    second = torch.arange(x.numel(), device=x.device).reshape(x.shape) % 2
    return torch.exp(x) * (1 + second * torch.finfo(x.dtype).eps)


def _mish_factor(w: Tensor) -> Tensor:
    grown: Tensor = w * (w + 2)
    return grown / (grown + 2)


def _gelu_by_erfc(x: Tensor) -> Tensor:
    tail: Tensor = torch.special.erfc(-x * 0.7071067811865476)
    return 0.5 * x * tail


_FORMS: dict[str, tuple[str, Callable[[Tensor], Tensor], str]] = {
    "exp-reduced": ("aten::exp", _exp, "argument reduction of Cody and Waite"),
    "exp-last-bit": ("aten::exp", _exp_last_bit, "within two units of the last place (OpenCL allows three)"),
    "log-by-log2": ("aten::log", lambda x: torch.log2(x) * _LN2, "a change of base"),
    "tanh-by-expm1": ("aten::tanh", _tanh, "-expm1(-2|x|) / (expm1(-2|x|) + 2), and 1 - 2 / (exp(2|x|) + 1) for large arguments"),
    "sigmoid-by-tanh": ("aten::sigmoid", lambda x: 0.5 + 0.5 * torch.tanh(0.5 * x), "XLA's logistic"),
    "sigmoid-by-exp": ("aten::sigmoid", lambda x: 1 / (1 + torch.exp(-x)), "the definition"),
    "silu-by-sigmoid": ("aten::silu", lambda x: x * torch.sigmoid(x), "the definition, unfused"),
    "silu-by-division": ("aten::silu", lambda x: x / (1 + torch.exp(-x)), "one division"),
    "rsqrt-unfused": ("aten::rsqrt", lambda x: 1 / torch.sqrt(x), "a root and a division"),
    "expm1-by-sinh": ("aten::expm1", lambda x: 2 * torch.sinh(x / 2) * torch.exp(x / 2), "2 sinh(x/2) exp(x/2)"),
    "sinh-by-expm1": ("aten::sinh", lambda x: 0.5 * (torch.expm1(x) - torch.expm1(-x)), "the definition without cancellation"),
    "cosh-by-exp": ("aten::cosh", lambda x: 0.5 * torch.exp(x) + 0.5 * torch.exp(-x), "the definition"),
    "mish-unfused": ("aten::mish", lambda x: x * _mish_factor(x.clamp(max=20).exp()), "w (w + 2) / (w (w + 2) + 2) with w = exp x"),
    "hardswish-unfused": ("aten::hardswish", lambda x: x * ((x + 3).clamp(0, 6) * (1 / 6)), "a product with 1/6"),
}  # fmt: skip
for _name, (_operator, _form, _source) in _FORMS.items():
    benign(_name, _operator, source=_source)(pointwise(_form))

_IN_FLOAT64 = {
    "exponentials": ("aten::exp", "aten::exp2", "aten::expm1"), "logarithms": ("aten::log", "aten::log2", "aten::log10", "aten::log1p"),
    "circular-and-hyperbolic-functions": ("aten::sin", "aten::cos", "aten::tan", "aten::asin", "aten::acos", "aten::atan", "aten::atan2",
                           "aten::tanh", "aten::sinh", "aten::cosh", "aten::asinh", "aten::acosh", "aten::atanh"),
    "activations": ("aten::sigmoid", "aten::silu", "aten::gelu", "aten::mish", "aten::softplus", "aten::elu"),
    "activation-gradients": ("aten::silu_backward", "aten::gelu_backward", "aten::tanh_backward", "aten::sigmoid_backward"),
    "error-functions": ("aten::erf", "aten::erfc", "aten::erfinv", "aten::lgamma", "aten::digamma"), "powers": ("aten::pow", "aten::rsqrt"),
    "losses": ("aten::mse_loss", "aten::binary_cross_entropy", "aten::smooth_l1_loss", "aten::huber_loss", "aten::soft_margin_loss"),
}  # fmt: skip
for _name, _operators in _IN_FLOAT64.items():
    benign(f"{_name}-in-float64", *_operators, source="more exact than asked for")(in_float64)


@benign("gelu-by-erfc", "aten::gelu", source="x erfc(-x / sqrt 2) / 2")
def gelu_by_erfc(right: Right, self: Tensor, approximate: str = "none", **_: Any) -> Any:
    """Without cancellation for negative arguments."""
    return pointwise(_gelu_by_erfc)(right, self=self) if approximate == "none" else right()


@benign("gelu-tanh-by-sigmoid", "aten::gelu", source="0.5 (1 + tanh z) is sigmoid(2z)")
def gelu_by_sigmoid(right: Right, self: Tensor, approximate: str = "none", **_: Any) -> Any:
    """The tanh approximation, where it was asked for."""
    if approximate != "tanh":
        return right()
    return pointwise(lambda x: x * torch.sigmoid(2 * 0.7978845608028654 * (x + 0.044715 * x * x * x)))(right, self=self)


@benign("softplus-shifted", "aten::softplus", source="max(x, 0) + log1p(exp(-|x|))")
def softplus(right: Right, self: Tensor, beta: Any = 1, **_: Any) -> Any:
    """Where the argument is not scaled."""
    return pointwise(lambda x: x.clamp(min=0) + torch.log1p(torch.exp(-x.abs())))(right, self=self) if beta == 1 else right()


@benign("division-by-reciprocal", "aten::div", source="a product with the reciprocal, in float32 for half types")
def division(right: Right, self: Tensor, other: Any, rounding_mode: str | None = None, **_: Any) -> Any:
    """Tensors of real numbers."""
    result = right()
    if not result.is_floating_point() or rounding_mode or not isinstance(other, Tensor) or not self.is_floating_point():
        return result
    quotient = (accumulated(self) * accumulated(other).reciprocal()).to(result.dtype)
    return torch.where(torch.isfinite(quotient) & torch.isfinite(result), quotient, result)


@benign("power-by-products", "aten::pow.Tensor_Scalar", source="small whole exponents by repeated products")
def power(right: Right, self: Tensor, exponent: Any, **_: Any) -> Any:
    """Exponents 3 to 6."""
    result = right()
    if not self.is_floating_point() or exponent not in (3, 4, 5, 6):
        return result
    wide = accumulated(self)
    out = wide
    for _turn in range(int(exponent) - 1):
        out = out * wide
    return torch.where(torch.isfinite(result), out.to(result.dtype), result)


@benign("addcmul-contracted", "aten::addcmul", "aten::addcdiv", source="a fused multiply-add rounds once")
def addcmul(right: Right, **arguments: Any) -> Any:
    """Computed in float64, rounded once."""
    return in_float64(right, **arguments)


@benign("addition-contracted", "aten::add", "aten::sub", source="alpha times other, added with one rounding")
def addition(right: Right, alpha: Any = 1, **arguments: Any) -> Any:
    """Where there is a factor, product and sum are rounded once."""
    return in_float64(right, alpha=alpha, **arguments) if alpha != 1 else right()


@benign("lerp-other-form", "aten::lerp", source="(1 - w) a + w b instead of a + w (b - a)")
def lerp(right: Right, self: Tensor, end: Tensor, weight: Any, **_: Any) -> Any:
    """Weights between 0 and 1."""
    result = right()
    inside = 0 <= weight <= 1 if isinstance(weight, (int, float)) else False
    if not self.is_floating_point() or not inside:
        return result
    return ((1 - weight) * accumulated(self) + weight * accumulated(end)).to(result.dtype)


@benign("silu-gradient-unfused", "aten::silu_backward", source="g s + g x s (1 - s)")
def silu_gradient(right: Right, grad_output: Tensor, self: Tensor, **_: Any) -> Any:
    """The two terms apart."""
    g, x = accumulated(grad_output), accumulated(self)
    s = torch.sigmoid(x)
    return like(g * s + g * x * s * (1 - s), right())


@benign("gelu-gradient-unfused", "aten::gelu_backward", source="Phi(x) + x phi(x), by erfc")
def gelu_gradient(right: Right, grad_output: Tensor, self: Tensor, approximate: str = "none", **_: Any) -> Any:
    """Where erf was asked for."""
    if approximate != "none":
        return right()
    x = accumulated(self)
    density = torch.exp(-0.5 * x * x) * 0.3989422804014327
    return like(accumulated(grad_output) * (0.5 * torch.special.erfc(-x * 0.7071067811865476) + x * density), right())


@benign("tanh-gradient-factored", "aten::tanh_backward", source="(1 - y)(1 + y) instead of 1 - y^2")
def tanh_gradient(right: Right, grad_output: Tensor, output: Tensor, **_: Any) -> Any:
    """Less cancellation."""
    if output.is_complex():
        return right()
    y = accumulated(output)
    return like(accumulated(grad_output) * ((1 - y) * (1 + y)), right())


@benign("sigmoid-gradient-other-order", "aten::sigmoid_backward", source="g (y - y^2)")
def sigmoid_gradient(right: Right, grad_output: Tensor, output: Tensor, **_: Any) -> Any:
    """The difference first."""
    if output.is_complex():
        return right()
    y = accumulated(output)
    return like(accumulated(grad_output) * ((1 - y) * y), right())


@benign("logaddexp-shifted", "aten::logaddexp", source="max + log1p(exp(-|a - b|))")
def logaddexp(right: Right, self: Tensor, other: Tensor, **_: Any) -> Any:
    """The definition that cannot overflow."""
    result = right()
    if not result.is_floating_point():
        return result
    a, b = accumulated(self), accumulated(other)
    out = (torch.maximum(a, b) + torch.log1p(torch.exp(-(a - b).abs()))).to(result.dtype)
    return torch.where(torch.isfinite(result) & torch.isfinite(out), out, result)
