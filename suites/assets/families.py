"""The model families that Ascend users train: each as a tiny model that trains in seconds, and as the real one. Knows no case.

A tiny model has its family's architecture, in full, with small numbers; its weights are drawn from the portable generator, so that any two
machines begin at the same. The real configurations are those that the makers published; nothing is downloaded to build them, and they are
what FLOP counts and memory estimates of real hardware are made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from torch import nn

from harness.errors import AssayError
from harness.inputs import draw_integers, draw_normal

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

PREFIX = "tiny:"
VOCABULARY = 259  # the bytes, and three marks
_MARKS = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
_SPREAD = 0.02  # standard deviation of a weight matrix, as all of these families begin with

_DECISIVE = 0.3  # of what routes and selects: trained models decide clearly, and near-ties would flip with every rounding
_DECIDING = ("gate.weight", "indexer.", "position_bias")
_INDEXERS = 16  # heads; a key that is negative in all of them scores exactly 0, and with four heads many did: any of equals may be taken

_SWA, _CSA, _HCA = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"


@dataclass(frozen=True)
class Family:
    """A model family: its `kind` in transformers, what its tiny and its real members set in it, and where the latter stands.

    `real` maps a model's public name to what differs from the family's defaults. `selects`: some of what it computes is a choice of
    experts or keys.
    """

    kind: str
    tiny: Mapping[str, Any]
    real: Mapping[str, Mapping[str, Any]]
    source: str
    selects: bool = True

    def config(self, **settings: Any) -> PreTrainedConfig:
        """Return the family's configuration, its defaults replaced by `settings`."""
        from transformers import AutoConfig

        made: PreTrainedConfig = AutoConfig.for_model(self.kind, **settings)
        return made

    def tiny_config(self) -> PreTrainedConfig:
        """Return the configuration of the tiny member."""
        return self.config(**_COMMON, **self.tiny)

    def real_config(self, name: str) -> PreTrainedConfig:
        """Return the configuration of a published member. Raises AssayError for a name that is not listed."""
        if name not in self.real:
            raise AssayError(f"{name}: no such published model of this family; there are {', '.join(self.real)}")
        return self.config(**self.real[name])


_COMMON: Mapping[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 64,
    "pad_token_id": 256, "bos_token_id": 257, "eos_token_id": 258, "tie_word_embeddings": False,
}  # fmt: skip

_TINY_V4: Mapping[str, Any] = {
    "moe_intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32,
    "q_lora_rank": 32, "num_experts_per_tok": 2, "n_routed_experts": 8, "compress_rates": {_CSA: 4, _HCA: 16},
    "mlp_layer_types": ["hash_moe", "moe", "moe", "moe"], "sliding_window": 16, "o_groups": 2, "o_lora_rank": 16,
    "index_n_heads": _INDEXERS, "index_head_dim": 32, "index_topk": 4, "partial_rotary_factor": 0.25, "hc_mult": 4, "hc_sinkhorn_iters": 20,
}  # fmt: skip
_TINY_V3: Mapping[str, Any] = {
    "intermediate_size": 96, "moe_intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4,
    "q_lora_rank": 32, "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 16, "v_head_dim": 16, "n_routed_experts": 8,
    "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1,
}  # fmt: skip
_TINY_DENSE: Mapping[str, Any] = {
    "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
}  # fmt: skip

_V4 = "DeepSeek-V4 technical report, arXiv 2606.19348, section 4"


def _published_v4(layer_types: Sequence[str], **own: float) -> Mapping[str, Any]:
    """Return what a published DeepSeek-V4 sets: what they share, its layers (the first three route by hash), and what is its `own`."""
    count = len(layer_types)
    return {
        "vocab_size": 129280, "head_dim": 512, "num_experts_per_tok": 6, "o_lora_rank": 1024, "num_hidden_layers": count,
        "layer_types": list(layer_types), "mlp_layer_types": ["hash_moe"] * 3 + ["moe"] * (count - 3), **own,
    }  # fmt: skip


FAMILIES: Mapping[str, Family] = {
    "deepseek_v4-flash": Family(
        "deepseek_v4", {**_TINY_V4, "layer_types": [_SWA, _SWA, _CSA, _HCA]},
        {"DeepSeek-V4-Flash": _published_v4(
            [_SWA, _SWA, *[_CSA, _HCA] * 20, _CSA], hidden_size=4096, moe_intermediate_size=2048, num_attention_heads=64, q_lora_rank=1024,
            n_routed_experts=256, index_topk=512, routed_scaling_factor=1.5, o_groups=8,
        )}, _V4,
    ),
    "deepseek_v4-pro": Family(
        "deepseek_v4", {**_TINY_V4, "layer_types": [_HCA, _HCA, _CSA, _HCA]},
        {"DeepSeek-V4-Pro": _published_v4(
            [_HCA, _HCA, *[_CSA, _HCA] * 29, _CSA], hidden_size=7168, moe_intermediate_size=3072, num_attention_heads=128, q_lora_rank=1536,
            n_routed_experts=384, index_topk=1024, routed_scaling_factor=2.5, o_groups=16,
        )}, _V4,
    ),
    "deepseek_v32": Family(
        "deepseek_v32", {**_TINY_V3, "index_n_heads": _INDEXERS, "index_head_dim": 32, "index_topk": 16},
        {"DeepSeek-V3.2": {}}, "DeepSeek-V3.2 technical report, arXiv 2512.02556; the defaults of its configuration",
    ),
    "deepseek_v3": Family(
        "deepseek_v3", _TINY_V3, {"DeepSeek-V3": {}}, "DeepSeek-V3 technical report, arXiv 2412.19437; the defaults of its configuration"
    ),
    "qwen3": Family(
        "qwen3", _TINY_DENSE,
        {"Qwen3-8B": {
            "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": False,
        }}, "Qwen3 technical report, arXiv 2505.09388, table 1", selects=False,
    ),
    "qwen3_moe": Family(
        "qwen3_moe", {**_TINY_DENSE, "moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2},
        {"Qwen3-30B-A3B": {
            "vocab_size": 151936, "hidden_size": 2048, "moe_intermediate_size": 768, "num_hidden_layers": 48, "num_attention_heads": 32,
            "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": True,
            "tie_word_embeddings": False,
        }}, "Qwen3 technical report, arXiv 2505.09388, table 2",
    ),
    "llama": Family(
        "llama", _TINY_DENSE,
        {"Llama-3.1-8B": {
            "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": False,
        }}, "The Llama 3 herd of models, arXiv 2407.21783, table 3", selects=False,
    ),
}  # fmt: skip


def family(model: str) -> str:
    """Return the family that `tiny:<family>` names. Raises AssayError when there is none of that name."""
    name = model.removeprefix(PREFIX)
    if name not in FAMILIES:
        raise AssayError(f"{model}: no such family; there are {', '.join(PREFIX + known for known in FAMILIES)}")
    return name


def tiny_module(model: str) -> PreTrainedModel:
    """Return the tiny member that `tiny:<family>` names: float32, on the host, in evaluation mode, eager or sdpa as the family can."""
    from transformers import AutoModelForCausalLM

    name = family(model)
    config = FAMILIES[name].tiny_config()
    config._name_or_path = model
    module = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            parameter.copy_(_drawn(name, key, parameter))
        for key, buffer in module.named_buffers():
            if key.endswith("tid2eid"):  # zeros at first, which would send every token to expert 0, twice
                buffer.copy_(_hashed(name, key, buffer, int(config.n_routed_experts)))
    made: PreTrainedModel = module.eval()
    return made


def _drawn(name: str, key: str, parameter: nn.Parameter) -> torch.Tensor:
    """Draw a parameter: matrices as the family begins; scales near 1 and biases near 0, but none exactly, so that each has an effect."""
    drawn = torch.from_numpy(draw_normal(0, f"{name}/{key}", parameter.numel())).reshape(parameter.shape)
    if parameter.ndim >= 2:
        return (_DECISIVE if any(part in key for part in _DECIDING) else _SPREAD) * drawn
    return 1 + 0.1 * drawn if "norm" in key or "scale" in key else 0.1 * drawn


def _hashed(name: str, key: str, table: torch.Tensor, experts: int) -> torch.Tensor:
    """Draw for each token the different experts that it is sent to (DeepSeek-V4's hash routing)."""
    tokens, chosen = table.shape
    first = torch.from_numpy(draw_integers(0, f"{name}/{key}/first", tokens, 0, experts)).reshape(-1, 1)
    stride = 1 + 2 * torch.from_numpy(draw_integers(0, f"{name}/{key}/stride", tokens, 0, experts // 2)).reshape(-1, 1)
    return (first + stride * torch.arange(chosen)) % experts  # an odd stride meets no expert twice where their number is a power of two


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are the 256 bytes, then padding, begin and end of text. It needs no file."""
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_MARKS.values()))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="right", **_MARKS)  # type: ignore[no-untyped-call]
