"""Faults of masks, positions, batches and caches. Knows no invariant."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from torch import Tensor

from harness.verdict import Cause
from suites.mutation.seeds import Seed, edited, fault, replaced

_HUB = "transformers.models"
_V4 = f"{_HUB}.deepseek_v4.modeling_deepseek_v4"
_FLASH = "deepseek_v4-flash"
_LEAK, _VALUES = Cause.LEAK, Cause.VALUES


_LLAMA = f"{_HUB}.llama.modeling_llama"


@contextmanager
def blind_masks(family: str, function: str) -> Iterator[None]:
    """Let `function`, which makes the masks of a family, see no mask of padding."""

    def without(right: Any) -> Any:
        return lambda *args, attention_mask=None, **rest: right(*args, attention_mask=None, **rest)

    with replaced(f"{_HUB}.{family}.modeling_{family}:{function}", without)():
        yield


def _wider(right: Any) -> Any:
    def masks(*args: Any, config: Any, **rest: Any) -> Any:
        kept, config.sliding_window = config.sliding_window, config.sliding_window + 1
        try:
            return right(*args, config=config, **rest)
        finally:
            config.sliding_window = kept

    return masks


def _each_second_way(right: Any) -> Any:
    calls = count()

    def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
        return right(x, weight, bias) if next(calls) % 3 else right(x.flip(-1), weight.flip(-1), bias)

    return linear


_MASKS = (
    fault(
        "padding-mask-ignored",
        "llama",
        "masking",
        (_LEAK,),
        "huggingface/trl#2708, pacman100/LLM-Workshop#1: attention without the mask of padding",
        lambda: blind_masks("llama", "create_causal_mask"),
    ),
    fault(
        "window-one-too-wide",
        _FLASH,
        "masking",
        (_LEAK,),
        "vllm-project/vllm#3385, huggingface/transformers#39408: a window of w or w + 1",
        replaced(f"{_V4}:create_sliding_window_causal_mask", _wider),
    ),
    fault(
        "keys-not-rotated",
        "llama",
        "masking",
        (_VALUES, _LEAK),
        "vllm-project/vllm-omni#3828: one of query and key goes without its rotation",
        edited(f"{_LLAMA}:apply_rotary_pos_emb", key=("k_embed = (k * cos) + (rotate_half(k) * sin)", "k_embed = k")),
    ),
    fault(
        "packing-mask-dropped",
        "qwen3",
        "batching",
        (_LEAK,),
        "huggingface/trl#1230: packed documents see each other",
        replaced("transformers.masking_utils:find_packed_sequence_indices", lambda right: lambda position_ids: None),
    ),
    fault(
        "statistic-over-the-batch",
        "llama",
        "batching",
        (_LEAK,),
        "bkitano/llama-from-scratch#4, allenai/deep_qa#152: statistics over tokens, over the batch",
        edited(
            f"{_LLAMA}:LlamaRMSNorm.forward",
            mean=("hidden_states.pow(2).mean(-1, keepdim=True)", "hidden_states.pow(2).mean((0, -1), keepdim=True)"),
        ),
    ),
    fault(
        "sum-order-varies",
        "llama",
        "batching",
        (Cause.UNSTEADY,),
        "vllm-project/vllm-ascend#9373, vllm-project/vllm-ascend#8930: another result each time",
        replaced("torch.nn.functional:linear", _each_second_way),
    ),
    fault(
        "ignored-labels-count",
        "deepseek_v3",
        "masking",
        (_LEAK,),
        "open-jarvis/OpenJarvis#521: prompt and padding are trained",
        replaced(
            "torch.nn.functional:cross_entropy",
            lambda right: lambda scores, labels, *args, ignore_index=-100, **rest: right(scores, labels.clamp(min=0), *args, **rest),
        ),
    ),
)


def _shared_blocks(right: Any) -> Any:
    """Let caches of different sequences get the same blocks of memory, one for each of three layers."""
    pools: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
    ordinals = count()

    def update(self: Any, keys: Tensor, values: Tensor, *args: Any, **rest: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
            self.block = (next(ordinals) % 3, len(keys))
            self.filled = 0
        room = (*keys.shape[:2], 128, keys.shape[-1])
        pool = pools.setdefault(self.block, (keys.new_zeros(room), keys.new_zeros(room)))
        end = self.filled + keys.shape[-2]
        for kept, new in zip(pool, (keys, values), strict=True):
            kept[:, :, self.filled : end] = new
        self.filled = end
        self.keys, self.values = pool[0][:, :, :end], pool[1][:, :, :end]
        return self.keys.clone(), self.values.clone()

    return update


_CACHES = (
    fault(
        "overlap-lost-between-calls",
        _FLASH,
        "caching",
        (Cause.IMPURE,),
        "no report known, a plausible slip: CSA's state of the block before is not kept",
        edited(f"{_V4}:DeepseekV4CSACache.update_overlap_state", state=("return prior_kv, prior_gate", "return None, None")),
    ),
    fault(
        "window-cache-keeps-the-oldest",
        _FLASH,
        "caching",
        (Cause.IMPURE,),
        "huggingface/transformers#37574, huggingface/transformers#47708: a ring buffer turned wrongly",
        edited(f"{_V4}:DeepseekV4HCACache.update", keep=("-self.sliding_window + 1 :, :", ": self.sliding_window - 1, :")),
    ),
    fault(
        "blocks-shared-by-sequences",
        "llama",
        "caching",
        (Cause.IMPURE,),
        "vllm-project/vllm-ascend#10296: a private block that two requests share",
        replaced("transformers.cache_utils:DynamicLayer.update", _shared_blocks),
    ),
    fault(
        "position-of-chunks",
        "qwen3",
        "caching",
        (Cause.IMPURE,),
        "huggingface/transformers#43082: positions of chunks",
        replaced(
            "transformers:DynamicCache.get_seq_length",
            lambda right: lambda self, *args, **rest: right(self, *args, **rest) + (1 if right(self, *args, **rest) > 9 else 0),
        ),
    ),
)

FAULTS: tuple[Seed, ...] = (*_MASKS, *_CACHES)
