"""Faults of serving: caches, company, padding, drafts and formats, and benign variants. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from reference.oracles.block_formats import E4M3, MX_BLOCK, Format, Rule
from reference.oracles.integer_formats import INT8
from suites.mutation.seeds import Seed, benign, edited, fault, replaced
from suites.mutation.training.masks import blind_masks

_CACHES = "transformers.cache_utils"
_V4, _FLASH = "transformers.models.deepseek_v4.modeling_deepseek_v4", "deepseek_v4-flash"
_SERVED = "suites.workloads.inference"
_PLAIN_SLIP = "no report known, a plausible slip: "
_WRONG = (Cause.VALUES, Cause.TAIL)
_ROUNDED = (Cause.PRECISION, Cause.VALUES)


class _ByTensor:
    """INT8 with one scale for a whole activation."""

    def round_trip(self, x: Tensor) -> Tensor:
        return INT8.round_trip(x.reshape(1, -1)).reshape(x.shape)


class _AsItIs:
    """No format at all."""

    def round_trip(self, x: Tensor) -> Tensor:
        return x


def _kept_narrow(right: Any) -> Any:
    def update(self: Any, keys: Tensor, values: Tensor, *args: Any, **rest: Any) -> Any:
        return right(self, keys.bfloat16().to(keys.dtype), values.bfloat16().to(values.dtype), *args, **rest)

    return update


def _in_one_piece(right: Any) -> Any:
    def update(self: Any, keys: Tensor, values: Tensor, *args: Any, **rest: Any) -> Any:
        found = right(self, keys, values, *args, **rest)
        self.keys, self.values = self.keys.contiguous().clone(), self.values.contiguous().clone()
        return found

    return update


FAULTS: tuple[Seed, ...] = (
    fault(
        "static-cache-one-place-short", "llama", "inference.decode", _WRONG, "huggingface/transformers#43082: positions of a cache",
        edited(
            f"{_CACHES}:StaticLayer.update", place=("self.cumulative_length\n", "self.cumulative_length - int(kv_length == 1)\n")
        ),
    ),
    fault(
        "position-counts-one-more", "qwen3", "inference.decode inference.greedy", (*_WRONG,), "huggingface/transformers#43082: positions",
        replaced(
            "transformers:DynamicCache.get_seq_length",
            lambda right: lambda self, *args, **rest: right(self, *args, **rest) + (1 if right(self, *args, **rest) > 30 else 0),
        ),
    ),
    fault(
        "served-window-keeps-the-oldest", _FLASH, "inference.decode", _WRONG,
        "huggingface/transformers#37574, huggingface/transformers#47708: a ring buffer turned wrongly",
        edited(f"{_V4}:DeepseekV4HCACache.update", keep=("-self.sliding_window + 1 :, :", ": self.sliding_window - 1, :")),
    ),
    fault(
        "cache-kept-in-bfloat16", "llama", "inference.decode", _ROUNDED, _PLAIN_SLIP + "a cache in another dtype than was asked for",
        replaced(f"{_CACHES}:DynamicLayer.update", _kept_narrow),
    ),
    fault(
        "padding-attended-in-a-batch", "llama", "inference.batched", _WRONG,
        "huggingface/trl#2708: attention without the mask of padding", lambda: blind_masks("llama", "create_causal_mask"),
    ),
    fault(
        "rows-of-a-left-sequence", "llama", "inference.continuous", _WRONG,
        "vllm-project/vllm-ascend#10296: a block that two requests share",
        replaced(f"{_SERVED}.continuous:parted", lambda right: lambda cache, rows: right(cache, rows)[::-1]),
    ),
    fault(
        "newcomers-padding-not-masked", "qwen3", "inference.continuous", _WRONG, _PLAIN_SLIP + "the mask of a batch that grew",
        edited(f"{_SERVED}.continuous:Scheduler.advance", mask=(">= longest - held).long()", ">= 0).long().expand(len(group), -1)")),
    ),
    fault(
        "refused-tokens-stay-in-the-cache", "llama", "inference.speculative", (Cause.VALUES, Cause.TAIL),
        _PLAIN_SLIP + "the cache is not cut back after a refusal",
        edited(f"{_SERVED}.speculative:_speculated", copy=("copied(cache)", "cache")),
    ),
    fault(
        "draft-is-believed", "llama", "inference.speculative", (Cause.VALUES, Cause.TAIL),
        _PLAIN_SLIP + "one proposal too many is accepted",
        edited(f"{_SERVED}.speculative:_speculated", chosen=("torch.cat([text, chosen[None, : alike + 1]], 1)",
                                                            "torch.cat([text, given[:, 1 : alike + 1], proposed[:, -1:]], 1)")),
    ),
    fault(
        "activations-scaled-by-the-tensor", "llama", "inference.quantised", _ROUNDED, _PLAIN_SLIP + "one scale for all tokens",
        replaced(f"{_SERVED}.quantised:SERVED.w8a8", lambda right: (right[0], _ByTensor())),
    ),
    fault(
        "activations-by-another-scale-rule", "llama", "inference.quantised", _ROUNDED, "arXiv 2310.10537: OCP's rule, or DeepSeek's",
        replaced(f"{_SERVED}.quantised:SERVED.mxfp8", lambda right: (right[0], Format(E4M3, MX_BLOCK, Rule.CEILING))),
    ),
    fault(
        "activations-left-as-they-are", "llama", "inference.quantised", _ROUNDED, _PLAIN_SLIP + "weights alone are quantised",
        replaced(f"{_SERVED}.quantised:SERVED.fp8-block", lambda right: (right[0], _AsItIs())),
    ),
)  # fmt: skip

BENIGN: tuple[Seed, ...] = (
    benign(
        "cache-laid-out-anew", "llama", ("inference.decode", "inference.continuous"), "the same numbers in other memory",
        replaced(f"{_CACHES}:DynamicLayer.update", _in_one_piece),
    ),
    benign(
        "product-in-halves-while-serving", "llama", ("inference.decode", "inference.batched", "inference.quantised"),
        "another order of a sum",
        replaced("torch.nn.functional:linear", lambda right: lambda x, weight, bias=None: _halves(right, x, weight, bias)),
    ),
    benign(
        "softmax-of-attention-in-float64", "llama", ("inference.decode", "inference.greedy"), "finer arithmetic than is asked for",
        replaced(
            "torch.nn.functional:scaled_dot_product_attention",
            lambda right: lambda q, k, v, *args, **rest: right(q.double(), k.double(), v.double(), *args, **rest).to(q.dtype),
        ),
    ),
)  # fmt: skip


def _halves(right: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Add up two halves of a product; in float32 at least, as a device does."""
    middle, wide = x.shape[-1] // 2, torch.promote_types(x.dtype, torch.float32)
    parts = [right(x[..., at].to(wide), weight[:, at].to(wide)) for at in (slice(middle, None), slice(middle))]
    whole: Tensor = sum(parts)
    return (whole if bias is None else whole + bias).to(x.dtype)
