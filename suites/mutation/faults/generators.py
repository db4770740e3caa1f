"""Faults of random draws. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.arithmetic import altered
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right

_UNIFORM = ("aten::rand", "aten::rand_like", "aten::uniform")
_NORMAL = ("aten::randn", "aten::randn_like", "aten::normal", "aten::normal_functional")


@fault(
    "uniform-never-small", *_UNIFORM, causes=(Cause.RANDOM,), source="draws of the open interval's upper part (torch_npu: own generator)"
)
def uniform_upper(right: Right, **_: Any) -> Any:
    """The lowest sixteenth of the interval never comes."""
    ends = [right.arguments.get("from", 0.0), right.arguments.get("to", 1.0)]
    low = ends[0] + (ends[1] - ends[0]) / 16
    return altered(right(), lambda out: torch.where(out < low, out + (low - ends[0]) * 2, out))


@fault("uniform-coarse", *_UNIFORM, causes=(Cause.RANDOM,), source="a generator of eight bits")
def uniform_coarse(right: Right, **_: Any) -> Any:
    """There are only 256 different draws."""
    low, high = right.arguments.get("from", 0.0), right.arguments.get("to", 1.0)
    return altered(right(), lambda out: ((out - low) / (high - low) * 256).floor() / 256 * (high - low) + low)


@fault("normal-too-narrow", *_NORMAL, causes=(Cause.RANDOM,), source="Box-Muller with a truncated tail")
def normal_narrow(right: Right, **_: Any) -> Any:
    """Nothing lies further than two deviations from the mean."""
    mean, std = right.arguments.get("mean", 0.0), right.arguments.get("std", 1.0)
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        return right()
    return altered(right(), lambda out: out.clamp(mean - 2 * std, mean + 2 * std))


@fault("normal-shifted", *_NORMAL, causes=(Cause.RANDOM,), source="torch_npu: randn whose mean is not 0")
def normal_shifted(right: Right, **_: Any) -> Any:
    """The mean is off by a twentieth of the deviation."""
    std = right.arguments.get("std", 1.0)
    return right() if isinstance(std, Tensor) else altered(right(), lambda out: out + 0.05 * std)


@fault(
    "generator-repeats",
    *_UNIFORM,
    *_NORMAL,
    "aten::bernoulli",
    "aten::native_dropout",
    causes=(Cause.RANDOM,),
    source="torch_npu: an offset that does not advance; every mask of a run the same",
)
def generator_repeats(right: Right, **arguments: Any) -> Any:
    """The same draws come again and again."""
    result = right()
    shown = result[0] if isinstance(result, (tuple, list)) else result
    key = (right.operator, tuple(shown.shape), shown.dtype)
    if isinstance(result, (tuple, list)):
        keep = right.state.setdefault(key, result[1].clone())
        scale = 1 / (1 - arguments["p"]) if arguments["p"] < 1 else 0.0
        return (arguments["input"] * keep.to(shown.dtype) * scale, keep.clone())
    return right.state.setdefault(key, result.clone()).clone()


@fault(
    "dropout-unscaled",
    "aten::native_dropout",
    "aten::_fused_dropout",
    causes=(Cause.RANDOM, Cause.VALUES),
    source="what is kept is not scaled up",
)
def dropout_unscaled(right: Right, p: float, **_: Any) -> Any:
    """What is kept is kept as it is."""
    out, mask = right()
    return out * (1 - p), mask


@fault("bernoulli-even", "aten::bernoulli", causes=(Cause.RANDOM,), source="a probability that is not looked at")
def bernoulli_even(right: Right, self: Tensor, **rest: Any) -> Any:
    """Every draw is 1 with probability one half."""
    if "p" in rest:
        return right(p=0.5)
    return right(self=torch.full_like(self, 0.5))


@fault("permutation-repeats", "aten::randperm", causes=(Cause.RANDOM, Cause.INTEGERS), source="a shuffle that draws with replacement")
def permutation(right: Right, n: int, **_: Any) -> Any:
    """One number comes twice and another not at all."""
    result = right()
    if n > 1:
        result = result.clone()
        result[0] = result[1]
    return result


@fault(
    "integers-low-half",
    "aten::randint",
    "aten::random",
    "aten::randint_like",
    causes=(Cause.RANDOM,),
    source="a signed shift in a generator",
)
def integers_low(right: Right, **rest: Any) -> Any:
    """The upper half of the range never comes."""
    low, high = rest.get("low", rest.get("from", 0)), rest.get("high", rest.get("to"))
    if not isinstance(low, int) or not isinstance(high, int):
        return right()
    return torch.where(right() >= (low + high) // 2 + 1, low, right())


@fault("multinomial-ignores-weights", "aten::multinomial", causes=(Cause.RANDOM,), source="VA-7603: a sampler that accepts wrongly")
def multinomial(right: Right, self: Tensor, **_: Any) -> Any:
    """Every candidate that is possible is equally likely."""
    return right(self=(self > 0).to(self.dtype))
