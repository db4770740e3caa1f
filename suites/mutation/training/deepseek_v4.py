"""Faults of models that take over DeepSeek-V4: what ports got wrong, by where it was reported; and of routing. Knows no invariant."""

from typing import Any

from torch import Tensor
from torch.nn import functional

from harness.verdict import Cause
from suites.mutation.seeds import Seed, edited, fault, replaced

_HUB = "transformers.models"
_V4 = f"{_HUB}.deepseek_v4.modeling_deepseek_v4"
_FLASH, _PRO = "deepseek_v4-flash", "deepseek_v4-pro"
_LEAK, _VALUES, _GRADIENT = Cause.LEAK, Cause.VALUES, Cause.GRADIENT


_PORTING = (
    fault(
        "mhc-not-transposed",
        _FLASH,
        "hyper_connections",
        (_VALUES,),
        "Megatron-LM 4957 and 4839, NeMo Automodel 2159, transformers 46172",
        edited(
            f"{_V4}:DeepseekV4DecoderLayer.forward",
            attention=(
                "attn_output.unsqueeze(-2) + torch.matmul(\n        comb.to(dtype).transpose(-1, -2)",
                "attn_output.unsqueeze(-2) + torch.matmul(\n        comb.to(dtype)",
            ),
        ),
    ),
    fault(
        "indexer-sees-the-future",
        _FLASH,
        "masking losses",
        (_LEAK,),
        "transformers 45820: no causal mask in the CSA indexer",
        edited(
            f"{_V4}:DeepseekV4Indexer.forward",
            mask=("index_scores = index_scores.masked_fill(future_mask", "index_scores.masked_fill(future_mask"),
            sentinel=("invalid = top_k_indices >= causal_threshold.unsqueeze(-1)", "invalid = top_k_indices < 0"),
        ),
    ),
    fault(
        "compressor-crosses-padding",
        _PRO,
        "masking",
        (_LEAK,),
        "transformers 45938; vllm-ascend-deepseekv4 76: unfinished blocks count",
        edited(
            f"{_V4}:DeepseekV4HCACompressor.forward",
            threshold=(
                "causal_threshold = (position_ids + 1) // self.compress_rate",
                "causal_threshold = (position_ids + self.compress_rate) // self.compress_rate",
            ),
        ),
    ),
    fault(
        "yarn-mscale-applied",
        _FLASH,
        "masking",
        (_VALUES,),
        "configuration_deepseek_v4: attention_factor must be 1.0",
        edited(
            f"{_V4}:DeepseekV4RotaryEmbedding.forward",
            cos=("freqs.cos() * attention_scaling", "freqs.cos() * (1.2773 if layer_type == 'compress' else 1.0)"),
            sin=("freqs.sin() * attention_scaling", "freqs.sin() * (1.2773 if layer_type == 'compress' else 1.0)"),
        ),
    ),
    fault(
        "rope-not-turned-back",
        _FLASH,
        "masking",
        (_VALUES,),
        "DeepSeek-V4 report, 2.3.3: the output is rotated by -i",
        edited(
            f"{_V4}:DeepseekV4Attention.forward",
            output=("attn_output = apply_rotary_pos_emb(attn_output.transpose(1, 2), cos, -sin).transpose(1, 2)", "pass"),
        ),
    ),
    fault(
        "swiglu-clamp-dropped",
        _FLASH,
        "routing",
        (_VALUES, Cause.SPECIAL),
        "VeOmni 972: the fused experts have no swiglu_limit",
        edited(
            f"{_V4}:DeepseekV4Experts._apply_gate",
            gate=("gate = gate.clamp(max=self.limit)", "pass"),
            up=("up = up.clamp(min=-self.limit, max=self.limit)", "pass"),
        ),
    ),
    fault(
        "fp4-read-as-fp8",
        "llama",
        "quantization",
        (Cause.PRECISION, _VALUES),
        "ms-swift 9724: half of the weights, twice",
        edited(
            "reference.oracles.block_formats:dequantise",
            numbers=(
                "blocks.numbers * _spread",
                "blocks.numbers.unflatten(-1, (2, -1))[..., :1, :].expand(*blocks.numbers.shape[:-1], 2, -1).flatten(-2) * _spread",
            ),
        ),
    ),
    fault(
        "router-never-learns",
        "qwen3_moe",
        "accumulation",
        (_GRADIENT,),
        "torchtitan 4802: the indexer never trained",
        edited(
            f"{_HUB}.qwen3_moe.modeling_qwen3_moe:Qwen3MoeTopKRouter.forward",
            scores=("router_scores = router_top_value", "router_scores = router_top_value.detach()"),
        ),
    ),
    fault(
        "sinkhorn-stops-early",
        _FLASH,
        "hyper_connections",
        (_VALUES,),
        "sglang 37292: dispatches in mHC; one pass for 20",
        edited(f"{_V4}:DeepseekV4HyperConnection.forward", loop=("range(self.hc_sinkhorn_iters - 1)", "range(0)")),
    ),
    fault(
        "softmax-for-sinkhorn",
        _FLASH,
        "hyper_connections",
        (_VALUES,),
        "rows alone normalised",
        edited(
            f"{_V4}:DeepseekV4HyperConnection.forward",
            loop=("range(self.hc_sinkhorn_iters - 1)", "range(0)"),
            first=("    comb = comb / (comb.sum(dim=-2, keepdim=True) + self.hc_eps)\n    for", "    pass\n    for"),
        ),
    ),
)


_ROUTING = (
    fault(
        "routing-not-renormalised",
        _FLASH,
        "routing",
        (Cause.CHOICE,),
        "norm_topk_prob ignored",
        edited(f"{_V4}:DeepseekV4TopKRouter.forward", sum=("weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)", "pass")),
    ),
    fault(
        "routing-scale-forgotten",
        _PRO,
        "routing",
        (Cause.CHOICE,),
        "routed_scaling_factor ignored",
        edited(f"{_V4}:DeepseekV4HashRouter.forward", scale=("weights * self.routed_scaling_factor", "weights")),
    ),
    fault(
        "routing-bias-weighs",
        _FLASH,
        "routing",
        (Cause.CHOICE,),
        "DeepSeek-V3, arXiv 2412.19437, equation 16: the bias only selects",
        edited(
            f"{_V4}:DeepseekV4TopKRouter.forward",
            bias=("weights = scores.gather(1, indices)", "weights = (scores + self.e_score_correction_bias).gather(1, indices)"),
        ),
    ),
    fault(
        "hash-by-position",
        _FLASH,
        "routing",
        (Cause.CHOICE,),
        "input ids that are not those of the shard",
        edited(
            f"{_V4}:DeepseekV4HashRouter.forward",
            ids=("self.tid2eid[input_ids.reshape(-1)]", "self.tid2eid[input_ids.roll(1, -1).reshape(-1)]"),
        ),
    ),
    fault(
        "last-expert-lost",
        "qwen3_moe",
        "routing",
        (Cause.CHOICE,),
        "an expert-parallel shard that is one too short",
        replaced(
            f"{_HUB}.qwen3_moe.modeling_qwen3_moe:Qwen3MoeExperts.forward",
            lambda right: lambda self, hidden, chosen, weights: right(self, hidden, chosen.clamp(max=6), weights),
        ),
    ),
    fault(
        "expert-capacity",
        "qwen3_moe",
        "routing batching",
        (_VALUES, _LEAK),
        "tokens beyond an expert's capacity are dropped",
        replaced(f"{_HUB}.qwen3_moe.modeling_qwen3_moe:Qwen3MoeExperts.forward", lambda right: _with_capacity(right)),
    ),
    fault(
        "router-narrow-when-decoding",
        _FLASH,
        "rollouts",
        (Cause.CHOICE, _VALUES),
        "verl: routers of rollout and training differ",
        edited(
            f"{_V4}:DeepseekV4TopKRouter.forward",
            scores=(
                "logits = F.linear(flat, self.weight)",
                "logits = F.linear(flat, self.weight)\n    if len(flat) <= 2:\n        logits = logits.bfloat16().float().round()",
            ),
        ),
    ),
)


def _with_capacity(right: Any) -> Any:
    def forward(self: Any, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Any:
        capacity = -(-chosen.numel() // self.num_experts) + 1
        place = functional.one_hot(chosen.flatten(), self.num_experts).cumsum(0).gather(1, chosen.flatten()[:, None]).reshape(chosen.shape)
        return right(self, hidden, chosen, weights * (place <= capacity))

    return forward


FAULTS: tuple[Seed, ...] = (*_PORTING, *_ROUTING)
