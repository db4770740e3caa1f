"""Faults of fused attention, on whichever operator the device has for it. Knows no case.

The CPU's fused operator and the NPU's differ in their arguments; a fault names the CPU's and the generic ones, and is a property of
what attention means, so it is defined by replacing arguments.
"""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.arithmetic import altered, cast, like
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right

FORWARD = (
    "aten::_scaled_dot_product_flash_attention_for_cpu", "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_flash_attention", "aten::_scaled_dot_product_attention_math",
)  # fmt: skip
BACKWARD = ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "aten::_scaled_dot_product_flash_attention_backward")
_ON_NPU = ("npu::npu_fusion_attention_v3", "npu::npu_fusion_attention_v2", "npu::npu_fusion_attention")


def _mask_name(right: Right) -> str:
    return next(n for n in ("attn_mask", "attn_bias", "atten_mask") if n in right.arguments)


def _bias_of(mask: Tensor | None, query: Tensor, key: Tensor, is_causal: bool) -> Tensor:
    """Return the additive float mask [length, keys] or broader of a call."""
    bias = torch.zeros(query.shape[-2], key.shape[-2], dtype=query.dtype, device=query.device)
    if is_causal:
        bias = bias.masked_fill(torch.ones_like(bias, dtype=torch.bool).triu(1), -torch.inf)
    if mask is None:
        return bias
    return bias + (mask if mask.is_floating_point() else torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, -torch.inf))


@fault("attention-scale-ignored", *FORWARD, *_ON_NPU, causes=(Cause.VALUES,), source="cann-recipes-infer kvcache SKILL: scale silently 1.0")
def attention_scale(right: Right, **_: Any) -> Any:
    """Scores are not scaled."""
    return right(scale=1.0)


@fault(
    "attention-causal-off-by-one",
    *FORWARD,
    causes=(Cause.VALUES,),
    source="sliding-window decode with sparse_mode 0 sees outside the window",
)
def attention_causal(right: Right, query: Tensor, key: Tensor, is_causal: bool = False, **_: Any) -> Any:
    """Each query sees one key of the future."""
    if not is_causal:
        return right()
    later = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).triu(2)
    bias = torch.zeros_like(later, dtype=query.dtype).masked_fill(later, -torch.inf)
    return right(is_causal=False, **{_mask_name(right): bias})


@fault("attention-causal-dropped", *FORWARD, causes=(Cause.VALUES,), source="vllm-omni 7324, SG-31948")
def attention_not_causal(right: Right, **_: Any) -> Any:
    """Every query sees every key."""
    return right(is_causal=False) if "is_causal" in right.arguments else right()


@fault("attention-mask-dropped", *FORWARD, *_ON_NPU, causes=(Cause.VALUES,), source="SG-31948: VisionAscendAttention dropped masks")
def attention_mask(right: Right, **_: Any) -> Any:
    """The mask is not looked at."""
    return right(**{_mask_name(right): None})


@fault(
    "attention-mask-polarity",
    *FORWARD,
    causes=(Cause.VALUES, Cause.SPECIAL),
    source="transformers PR 48843; diffusers 14397: logical_not of a float mask",
)
def attention_polarity(right: Right, query: Tensor, key: Tensor, is_causal: bool = False, **_: Any) -> Any:
    """Where the mask says attend, the key is discarded, and the other way round."""
    name = _mask_name(right)
    mask = right.arguments[name]
    if mask is None:
        return right()
    seen = mask if mask.dtype == torch.bool else mask > -torch.inf
    return right(**{name: torch.zeros_like(seen, dtype=query.dtype).masked_fill(seen, -torch.inf)})


@fault("attention-bias-discarded", *FORWARD, causes=(Cause.VALUES,), source="transformers 41143: an additive bias turned into a mask")
def attention_bias(right: Right, **_: Any) -> Any:
    """Of an additive mask only its infinities count."""
    name = _mask_name(right)
    mask = right.arguments[name]
    if mask is None or not mask.is_floating_point():
        return right()
    return right(**{name: torch.where(mask.isinf(), mask, torch.zeros_like(mask))})


@fault("attention-keys-tail-lost", *FORWARD, causes=(Cause.VALUES, Cause.PRECISION), source="SG-38196: a page that is not full")
def attention_keys(right: Right, query: Tensor, key: Tensor, is_causal: bool = False, **_: Any) -> Any:
    """Keys beyond the last full tile of 16 are not seen."""
    length = key.shape[-2]
    if length < 17 or length % 16 == 0:
        return right()
    bias = _bias_of(right.arguments[_mask_name(right)], query, key, is_causal).clone()
    bias[..., length // 16 * 16 :] = -torch.inf
    return right(is_causal=False, **{_mask_name(right): bias})


@fault("attention-groups-interleaved", *FORWARD, causes=(Cause.VALUES,), source="VA-3366: more ranks than key heads")
def attention_groups(right: Right, query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Any:
    """Query heads are dealt to the key heads in turn."""
    repeats = query.shape[1] // key.shape[1] if key.ndim == 4 and key.shape[1] else 1
    return right() if repeats < 2 else right(key=key.repeat(1, repeats, 1, 1), value=value.repeat(1, repeats, 1, 1))


@fault("attention-in-bfloat16", *FORWARD, causes=(Cause.PRECISION,), source="inner_precise: high performance where high precision was due")
def attention_bfloat16(right: Right, **arguments: Any) -> Any:
    """Float32 operands are rounded to bfloat16."""
    if arguments["query"].dtype != torch.float32:
        return right()
    return like(right(**cast(cast(arguments, torch.bfloat16, (torch.float32,)), torch.float32, (torch.bfloat16,))), right())


@fault("attention-gradient-of-key", *BACKWARD, causes=(Cause.VALUES,), source="flash-attention-npu 44: backward kernel")
def attention_key_gradient(right: Right, **_: Any) -> Any:
    """The gradient of the keys is larger by the root of two: a scale applied once too little."""
    query, key, value = right()
    return query, key * 2**0.5, value


@fault(
    "attention-gradient-last-row",
    *BACKWARD,
    "npu::npu_fusion_attention_grad_v3",
    causes=(Cause.TAIL,),
    source="flash-attention-npu 44: backward kernel",
)
def attention_last_gradient(right: Right, **_: Any) -> Any:
    """The last query has no gradient."""

    def change(out: Tensor) -> Tensor:
        out.select(-2, -1).zero_()
        return out

    return altered(right(), change)
