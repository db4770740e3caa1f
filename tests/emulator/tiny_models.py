"""Causal language models of the families that the suites use, tiny, with seeded weights, on the host. Knows no device."""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    DeepseekV4Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    Qwen3MoeConfig,
)

VOCABULARY, EXPERTS = 64, 4
#: Two sequences of 24 tokens, without those that end or pad one.
TOKENS = 3 + torch.arange(48).reshape(2, 24) * 7 % (VOCABULARY - 3)

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
_QWEN: dict[str, Any] = {**_COMMON, "num_key_value_heads": 2, "head_dim": 16}
_EXPERTS: dict[str, Any] = {"moe_intermediate_size": 16, "num_experts_per_tok": 2}
_V3: dict[str, Any] = {
    "n_routed_experts": EXPERTS, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4, "q_lora_rank": 16,
    "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16,
}  # fmt: skip
_V4: dict[str, Any] = {
    "n_routed_experts": EXPERTS, "num_hidden_layers": 3, "num_key_value_heads": 1, "head_dim": 16, "q_lora_rank": 16,
    "layer_types": ["sliding_attention", "heavily_compressed_attention", "compressed_sparse_attention"], "sliding_window": 8,
    "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8}, "mlp_layer_types": ["hash_moe", "moe", "moe"],
    "o_groups": 2, "o_lora_rank": 8, "partial_rotary_factor": 0.5,
    "index_n_heads": 8, "index_head_dim": 8, "index_topk": 2,  # fewer heads leave scores of zero, and of equal ones any may be taken
    "hc_mult": 2, "hc_sinkhorn_iters": 4,
}  # fmt: skip

FAMILIES = ("llama", "qwen3", "qwen3_moe", "deepseek_v3", "deepseek_v4")


def config(family: str, **options: Any) -> PreTrainedConfig:
    """Return the configuration of a family: 2 or 3 layers of width 32; `options` take precedence."""
    if family == "llama":
        return LlamaConfig(**{**_COMMON, "num_key_value_heads": 2, **options})
    if family == "qwen3":
        return Qwen3Config(**{**_QWEN, **options})
    if family == "qwen3_moe":
        return Qwen3MoeConfig(**{**_QWEN, **_EXPERTS, "num_experts": EXPERTS, **options})
    if family == "deepseek_v3":
        return DeepseekV3Config(**{**_COMMON, **_EXPERTS, **_V3, **options})
    return DeepseekV4Config(**{**_COMMON, **_EXPERTS, **_V4, **options})


def model(family: str, dtype: torch.dtype = torch.float32, vocabulary: int = VOCABULARY, **options: Any) -> PreTrainedModel:
    """Return a model of a family, the same on every call; `options` go to `from_config` (attention and experts implementation)."""
    torch.manual_seed(0)
    network: PreTrainedModel = AutoModelForCausalLM.from_config(config(family, vocab_size=vocabulary), dtype=dtype, **options)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("mlp.gate.weight"):  # a router that decides: equal scores may go to any expert, and on the CPU do
                parameter.normal_()
        for name, buffer in network.named_buffers():
            if name.endswith("tid2eid"):  # V4's table from token to experts is all zeros in a new model
                buffer.copy_(torch.stack([torch.randperm(EXPERTS)[:2] for _ in range(len(buffer))]))
    return network


def loss_logits_gradients(network: PreTrainedModel) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Run forward and backward on TOKENS where the model is; return the loss, the logits and every gradient, on the host."""
    tokens = TOKENS.to(network.device)
    result = network(input_ids=tokens, labels=tokens)
    result.loss.backward()
    gradients = {name: parameter.grad.cpu() for name, parameter in network.named_parameters() if parameter.grad is not None}
    return result.loss.detach().cpu(), result.logits.detach().cpu(), gradients
