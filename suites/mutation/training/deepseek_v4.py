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


def _ported(name: str, family: str, themes: str, causes: tuple[Cause, ...], source: str, where: str, **lines: tuple[str, str]) -> Seed:
    """Return a fault of transformers' own code: the method `where` of one of its DeepSeek-V4 classes, `edited`."""
    return fault(name, family, themes, causes, source, edited(f"{_V4}:DeepseekV4{where}", **lines))


_PORTING = (
    _ported(
        "mhc-not-transposed",
        _FLASH,
        "hyper_connections",
        (_VALUES,),
        "NVIDIA/Megatron-LM#4957, NVIDIA-NeMo/Automodel#2154, huggingface/transformers#46172",
        "DecoderLayer.forward",
        attention=(
            "attn_output.unsqueeze(-2) + torch.matmul(\n        comb.to(dtype).transpose(-1, -2)",
            "attn_output.unsqueeze(-2) + torch.matmul(\n        comb.to(dtype)",
        ),
    ),
    _ported(
        "indexer-sees-the-future",
        _FLASH,
        "masking losses",
        (_LEAK,),
        "huggingface/transformers#45820: no causal mask in the CSA indexer",
        "Indexer.forward",
        mask=("index_scores = index_scores.masked_fill(future_mask", "index_scores.masked_fill(future_mask"),
        sentinel=("invalid = top_k_indices >= causal_threshold.unsqueeze(-1)", "invalid = top_k_indices < 0"),
    ),
    _ported(
        "compressor-crosses-padding",
        _PRO,
        "masking",
        (_LEAK,),
        "huggingface/transformers#45938, GDzhu01/vllm-ascend-deepseekv4#76: unfinished blocks count",
        "HCACompressor.forward",
        threshold=(
            "causal_threshold = (position_ids + 1) // self.compress_rate",
            "causal_threshold = (position_ids + self.compress_rate) // self.compress_rate",
        ),
    ),
    _ported(
        "yarn-mscale-applied",
        _FLASH,
        "masking",
        (_VALUES,),
        "AMD-AGI/Primus#930, Avarok-Cybersecurity/atlas#342: attention_factor must be 1.0",
        "RotaryEmbedding.forward",
        cos=("freqs.cos() * attention_scaling", "freqs.cos() * (1.2773 if layer_type == 'compress' else 1.0)"),
        sin=("freqs.sin() * attention_scaling", "freqs.sin() * (1.2773 if layer_type == 'compress' else 1.0)"),
    ),
    _ported(
        "rope-not-turned-back",
        _FLASH,
        "masking",
        (_VALUES,),
        "arXiv 2606.19348, 2.3.3, and AMD-AGI/Primus#930: the output is rotated by -i",
        "Attention.forward",
        output=("attn_output = apply_rotary_pos_emb(attn_output.transpose(1, 2), cos, -sin).transpose(1, 2)", "pass"),
    ),
    _ported(
        "swiglu-clamp-dropped",
        _FLASH,
        "routing",
        (_VALUES, Cause.SPECIAL),
        "vllm-project/vllm-ascend#14363: routed experts without swiglu_limit",
        "Experts._apply_gate",
        gate=("gate = gate.clamp(max=self.limit)", "pass"),
        up=("up = up.clamp(min=-self.limit, max=self.limit)", "pass"),
    ),
    fault(
        "fp4-read-as-fp8",
        "llama",
        "quantization",
        (Cause.PRECISION, _VALUES),
        "modelscope/ms-swift#9724: half of the weights, twice",
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
        "pytorch/torchtitan#4802, ByteDance-Seed/VeOmni#1134: the indexer never trained",
        edited(
            f"{_HUB}.qwen3_moe.modeling_qwen3_moe:Qwen3MoeTopKRouter.forward",
            scores=("router_scores = router_top_value", "router_scores = router_top_value.detach()"),
        ),
    ),
    _ported(
        "sinkhorn-stops-early",
        _FLASH,
        "hyper_connections",
        (_VALUES,),
        "AI-Hypercomputer/maxtext#4337: another number of Sinkhorn rounds; here one for 20",
        "HyperConnection.forward",
        loop=("range(self.hc_sinkhorn_iters - 1)", "range(0)"),
    ),
    _ported(
        "softmax-for-sinkhorn",
        _FLASH,
        "hyper_connections",
        (_VALUES,),
        "no report known, a plausible slip: rows alone normalised",
        "HyperConnection.forward",
        loop=("range(self.hc_sinkhorn_iters - 1)", "range(0)"),
        first=("    comb = comb / (comb.sum(dim=-2, keepdim=True) + self.hc_eps)\n    for", "    pass\n    for"),
    ),
)


_ROUTING = (
    _ported(
        "routing-not-renormalised",
        _FLASH,
        "routing",
        (Cause.CHOICE,),
        "pytorch/torchtitan#1448: norm_topk_prob is not there",
        "TopKRouter.forward",
        sum=("weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)", "pass"),
    ),
    _ported(
        "routing-scale-forgotten",
        _PRO,
        "routing",
        (Cause.CHOICE,),
        "sgl-project/sglang#31449 (on NPUs), sgl-project/sglang-jax#1282: routed_scaling_factor skipped",
        "HashRouter.forward",
        scale=("weights * self.routed_scaling_factor", "weights"),
    ),
    _ported(
        "routing-bias-weighs",
        _FLASH,
        "routing",
        (Cause.CHOICE,),
        "huggingface/transformers#39581, PaddlePaddle/PaddleFormers#3452; arXiv 2412.19437, equation 16: the bias only selects",
        "TopKRouter.forward",
        bias=("weights = scores.gather(1, indices)", "weights = (scores + self.e_score_correction_bias).gather(1, indices)"),
    ),
    _ported(
        "hash-by-position",
        _FLASH,
        "routing",
        (Cause.CHOICE,),
        "vllm-project/afd-plugin#301 (on NPUs): token ids of all ranks for the hidden states of one",
        "HashRouter.forward",
        ids=("self.tid2eid[input_ids.reshape(-1)]", "self.tid2eid[input_ids.roll(1, -1).reshape(-1)]"),
    ),
    fault(
        "last-expert-lost",
        "qwen3_moe",
        "routing",
        (Cause.CHOICE,),
        "no report known, a plausible slip: an expert-parallel shard that is one too short",
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
        "deepseek-ai/DeepSeek-V2#5: tokens beyond an expert's capacity are dropped, there on purpose",
        replaced(f"{_HUB}.qwen3_moe.modeling_qwen3_moe:Qwen3MoeExperts.forward", lambda right: _with_capacity(right)),
    ),
    _ported(
        "router-narrow-when-decoding",
        _FLASH,
        "rollouts",
        (Cause.CHOICE, _VALUES),
        "NVIDIA/Megatron-LM#4168: routers of rollout and training differ, one in ten",
        "TopKRouter.forward",
        scores=(
            "logits = F.linear(flat, self.weight)",
            "logits = F.linear(flat, self.weight)\n    if len(flat) <= 2:\n        logits = logits.bfloat16().float().round()",
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
