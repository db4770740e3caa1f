"""Draws of the same distribution by other generators. Knows no case."""

import math
from typing import Any

import torch
from torch import Tensor

from suites.mutation.arithmetic import altered
from suites.mutation.registry import benign
from suites.mutation.wrapper import Right

_UNIFORM = ("aten::rand", "aten::rand_like", "aten::uniform")
_NORMAL = ("aten::randn", "aten::randn_like", "aten::normal")
_GENERATORS = "generators are not portable, not even between GPUs (pytorch 194676)"


def _fresh(like: Tensor) -> Tensor:
    return torch.rand(like.shape, dtype=torch.float64, device="cpu").to(like.device)


@benign("uniform-of-24-bits", *_UNIFORM, source=_GENERATORS)
def uniform(right: Right, **_: Any) -> Any:
    """Multiples of 2^-24 below 1, drawn as integers; for half types of as few bits as they have."""
    low, high = right.arguments.get("from", 0.0), right.arguments.get("to", 1.0)

    def change(out: Tensor) -> Tensor:
        bits = {torch.float16: 11, torch.bfloat16: 8, torch.float64: 53}.get(out.dtype, 24)
        drawn = torch.randint(0, 1 << bits, out.shape, device="cpu").to(torch.float64) / (1 << bits)
        scaled: Tensor = low + drawn * (high - low)
        return scaled.to(out.dtype).to(out.device)

    return altered(right(), change)


@benign("normal-by-box-muller", *_NORMAL, source=_GENERATORS)
def normal(right: Right, **_: Any) -> Any:
    """Logarithm and cosine of uniform draws."""
    mean, std = right.arguments.get("mean", 0.0), right.arguments.get("std", 1.0)
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        return right()

    def change(out: Tensor) -> Tensor:
        drawn = (-2 * torch.log1p(-_fresh(out))).sqrt() * torch.cos(2 * math.pi * _fresh(out))
        scaled: Tensor = mean + std * drawn
        return scaled.to(out.dtype)

    return altered(right(), change)


@benign("bernoulli-by-comparison", "aten::bernoulli", source=_GENERATORS)
def bernoulli(right: Right, self: Tensor, **rest: Any) -> Any:
    """A uniform draw below the probability."""
    result = right()
    probability = rest["p"] if "p" in rest else self.double()
    return (_fresh(result) < probability).to(result.dtype)


@benign("dropout-other-mask", "aten::native_dropout", source=_GENERATORS)
def dropout(right: Right, input: Tensor, p: float, train: bool | None = True, **_: Any) -> Any:
    """The mask comes from another generator."""
    out, mask = right()
    if not train or p in (0, 1):
        return out, mask
    kept = _fresh(input) >= p
    return (input.float() * kept * (1 / (1 - p))).to(out.dtype), kept.to(mask.dtype)


@benign("permutation-by-sorting", "aten::randperm", source=_GENERATORS)
def permutation(right: Right, n: int, **_: Any) -> Any:
    """The order of random keys."""
    result = right()
    return torch.argsort(torch.rand(n, dtype=torch.float64)).to(result.dtype).to(result.device)


@benign("exponential-by-logarithm", "aten::exponential", source=_GENERATORS)
def exponential(right: Right, lambd: float = 1.0, **_: Any) -> Any:
    """The negative logarithm of a uniform draw."""
    return altered(right(), lambda out: (-torch.log1p(-_fresh(out)) / lambd).clamp(min=torch.finfo(out.dtype).tiny).to(out.dtype))


@benign("integers-by-scaling", "aten::randint", "aten::random.from", source=_GENERATORS)
def integers(right: Right, **rest: Any) -> Any:
    """A uniform draw scaled to the range."""
    result = right()
    low, high = rest.get("low", rest.get("from", 0)), rest.get("high", rest.get("to"))
    if not isinstance(high, int):
        return result
    return (low + (_fresh(result) * (high - low)).floor()).to(result.dtype)
