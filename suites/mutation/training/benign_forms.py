"""Benign variants of kernels: other forms and orders of the same arithmetic, which must not alarm. Knows no invariant."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from suites.mutation.seeds import Change, Seed, benign, replaced

_FLASH, _PRO = "deepseek_v4-flash", "deepseek_v4-pro"

_FORWARD = ("masking", "batching", "caching")


def _placed(act: Callable[[Any], object]) -> Change:
    """Return what does something to every model before it is used."""

    def make(right: Any) -> Any:
        def place(*args: Any, **rest: Any) -> Any:
            model = right(*args, **rest)
            act(model)
            return model

        return place

    return replaced("suites.workloads.invariants.subject:place", make)


def _attention(name: str) -> Change:
    return _placed(lambda model: model.set_attn_implementation(name))


def _experts(name: str) -> Change:
    return _placed(lambda model: model.set_experts_implementation(name))


_KERNELS = (
    *(
        benign(f"eager-attention-{family}", family, _FORWARD, "scores held in memory, softmax, product", _attention("eager"))
        for family in ("llama", "qwen3", "qwen3_moe", "deepseek_v3")
    ),
    *(
        benign(
            f"experts-in-a-loop-{family}", family, ("routing", "batching"), "one product an expert for grouped products", _experts("eager")
        )
        for family in (_FLASH, "deepseek_v32", "deepseek_v3", "qwen3_moe")
    ),
    *(
        benign(f"experts-batched-{family}", family, ("routing",), "one product a token and expert", _experts("batched_mm"))
        for family in (_PRO, "deepseek_v3", "qwen3_moe")
    ),
)


def _function(name: str, form: Callable[..., Any]) -> Change:
    """Return what replaces a function of `torch.nn.functional` by another form of it, which is given the right one first."""
    return replaced(f"torch.nn.functional:{name}", lambda right: lambda *args, **rest: form(right, *args, **rest))


def _halves(right: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    k = x.shape[-1] // 2
    return right(x[..., k:], weight[:, k:]) + right(x[..., :k], weight[:, :k]) if bias is None else right(x, weight, bias)


def _backwards(right: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    return right(x.flip(-1), weight.flip(-1), bias)


def _wide(right: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    return right(x.double(), weight.double(), None if bias is None else bias.double()).to(x.dtype)


def _softmax(right: Any, x: Tensor, dim: int = -1, dtype: torch.dtype | None = None, **_: Any) -> Any:
    x = x if dtype is None else x.to(dtype)
    e = torch.exp2((x - x.amax(dim, keepdim=True)) * math.log2(math.e))
    return e / e.sum(dim, keepdim=True)


def _silu(right: Any, x: Tensor, inplace: bool = False) -> Any:
    return x / (1 + torch.exp(-x))


def _log_softmax(right: Any, x: Tensor, dim: int = -1, dtype: torch.dtype | None = None, **_: Any) -> Any:
    x = x if dtype is None else x.to(dtype)
    return x - torch.logsumexp(x, dim, keepdim=True)


def _cross_entropy(
    right: Any, scores: Tensor, labels: Tensor, *args: Any, ignore_index: int = -100, reduction: str = "mean", **_: Any
) -> Any:
    counted = labels != ignore_index
    each = torch.logsumexp(scores, -1) - scores.gather(-1, labels.clamp(min=0)[:, None])[:, 0]
    total = torch.where(counted, each, 0.0).sum()
    return total / counted.sum() if reduction == "mean" else total


def _embedding(right: Any, tokens: Tensor, weight: Tensor, *args: Any, **_: Any) -> Any:
    return functional.one_hot(tokens, len(weight)).to(weight.dtype) @ weight


_FORMS = (
    *(
        benign(f"products-in-halves-{f}", f, themes, "split-K", _function("linear", _halves))
        for f, themes in (
            ("llama", _FORWARD),
            ("qwen3_moe", ("accumulation", "rollouts")),
            (_FLASH, ("masking",)),
            ("deepseek_v32", ("losses",)),
            ("qwen3", ("accumulation",)),
        )
    ),
    *(
        benign(f"products-backwards-{f}", f, themes, "another order of summation", _function("linear", _backwards))
        for f, themes in (
            ("qwen3", _FORWARD),
            ("deepseek_v3", ("accumulation", "adapters")),
            (_PRO, ("losses",)),
            ("llama", ("optimizers",)),
        )
    ),
    *(
        benign(f"products-in-float64-{f}", f, themes, "a wide accumulator", _function("linear", _wide))
        for f, themes in (
            ("llama", ("losses", "rollouts")),
            ("deepseek_v32", _FORWARD),
            ("qwen3_moe", ("losses",)),
            ("qwen3", ("accumulation",)),
        )
    ),
    *(
        benign(f"softmax-by-exp2-{f}", f, themes, "online softmax of fused kernels", _function("softmax", _softmax))
        for f, themes in ((_FLASH, ("masking", "caching")), ("qwen3_moe", ("routing", "batching")), ("deepseek_v32", ("masking",)))
    ),
    *(
        benign(f"silu-by-division-{f}", f, ("batching", "accumulation"), "x / (1 + exp(-x))", _function("silu", _silu))
        for f in ("llama", "qwen3", "qwen3_moe", "deepseek_v3")
    ),
    *(
        benign(f"log-softmax-by-logsumexp-{f}", f, ("losses", "rollouts"), "x - logsumexp(x)", _function("log_softmax", _log_softmax))
        for f in ("llama", "qwen3", "deepseek_v3", "qwen3_moe", _PRO)
    ),
    *(
        benign(f"cross-entropy-by-logsumexp-{f}", f, ("losses", "accumulation"), "fused loss", _function("cross_entropy", _cross_entropy))
        for f in ("llama", "qwen3", "deepseek_v3", "deepseek_v32")
    ),
    *(
        benign(
            f"embedding-by-product-{f}",
            f,
            ("batching", "accumulation"),
            "one-hot product: its gradient adds in another order",
            _function("embedding", _embedding),
        )
        for f in ("llama", "qwen3", "qwen3_moe", "deepseek_v3")
    ),
)

BENIGN: tuple[Seed, ...] = (*_KERNELS, *_FORMS)
