"""Benign variants of single lines of models and stages, which must not alarm. Knows no invariant."""

from typing import Any

from suites.mutation.seeds import Change, Seed, benign, edited, replaced

_HUB = "transformers.models"
_V4 = f"{_HUB}.deepseek_v4.modeling_deepseek_v4"
_LLAMA = f"{_HUB}.llama.modeling_llama"
_STAGES = "suites.workloads.post_training"
_FLASH, _PRO = "deepseek_v4-flash", "deepseek_v4-pro"

_FORWARD = ("masking", "batching", "caching")

_NORM = (
    benign(
        "norm-in-float64",
        "llama",
        _FORWARD,
        "a wide statistic",
        edited(
            f"{_LLAMA}:LlamaRMSNorm.forward",
            wide=("hidden_states = hidden_states.to(torch.float32)", "hidden_states = hidden_states.to(torch.float64)"),
        ),
    ),
    benign(
        "norm-by-root",
        "llama",
        ("losses", "accumulation"),
        "1 / sqrt for rsqrt",
        edited(
            f"{_LLAMA}:LlamaRMSNorm.forward",
            root=("torch.rsqrt(variance + self.variance_epsilon)", "(1 / torch.sqrt(variance + self.variance_epsilon))"),
        ),
    ),
    benign(
        "norm-scaled-first",
        "llama",
        _FORWARD,
        "w r x in another order",
        edited(
            f"{_LLAMA}:LlamaRMSNorm.forward",
            order=(
                "hidden_states * torch.rsqrt(variance + self.variance_epsilon)",
                "torch.rsqrt(variance + self.variance_epsilon) * hidden_states",
            ),
            scale=(
                "return self.weight * hidden_states.to(input_dtype)",
                "return (self.weight * 3) * hidden_states.to(input_dtype) * (1 / 3)",
            ),
        ),
    ),
    benign(
        "norm-by-sum",
        "llama",
        _FORWARD,
        "sum / n for the mean",
        edited(
            f"{_LLAMA}:LlamaRMSNorm.forward",
            mean=(
                "hidden_states.pow(2).mean(-1, keepdim=True)",
                "(hidden_states.flip(-1) ** 2).sum(-1, keepdim=True) / hidden_states.shape[-1]",
            ),
        ),
    ),
    benign(
        "norm-v4-by-vector-norm",
        _FLASH,
        ("masking", "hyper_connections"),
        "vector_norm^2 / n",
        edited(
            f"{_V4}:DeepseekV4RMSNorm.forward",
            mean=(
                "hidden_states.pow(2).mean(-1, keepdim=True)",
                "torch.linalg.vector_norm(hidden_states, dim=-1, keepdim=True) ** 2 / hidden_states.shape[-1]",
            ),
        ),
    ),
    benign(
        "rotation-fused",
        "llama",
        ("masking", "caching"),
        "x cos + rotate(x) sin with one rounding",
        edited(
            f"{_LLAMA}:apply_rotary_pos_emb",
            key=("k_embed = (k * cos) + (rotate_half(k) * sin)", "k_embed = torch.addcmul(rotate_half(k) * sin, k, cos)"),
        ),
    ),
    benign(
        "angles-in-float64",
        _FLASH,
        ("masking", "caching"),
        "angles of a wide product",
        edited(
            f"{_V4}:DeepseekV4RotaryEmbedding.forward",
            wide=(
                "position_ids[..., None].float() * inv_freq.to(device=x.device, dtype=torch.float)",
                "position_ids[..., None].double() * inv_freq.double()",
            ),
        ),
    ),
)

_V4_FORMS = (
    benign(
        "streams-by-einsum",
        _FLASH,
        ("hyper_connections", "masking"),
        "sum over the first index",
        edited(
            f"{_V4}:DeepseekV4DecoderLayer.forward",
            attention=(
                "attn_output.unsqueeze(-2) + torch.matmul(\n        comb.to(dtype).transpose(-1, -2), hidden_states\n    )",
                "attn_output.unsqueeze(-2) + (comb.unsqueeze(-1) * hidden_states.unsqueeze(-2)).sum(-3)",
            ),
        ),
    ),
    benign(
        "sinkhorn-of-logs",
        _FLASH,
        ("hyper_connections",),
        "softmax by exponentials",
        edited(
            f"{_V4}:DeepseekV4HyperConnection.forward",
            softmax=(
                "torch.softmax(comb_w * comb_scale + comb_b, dim=-1)",
                "torch.log_softmax(comb_w * comb_scale + comb_b, dim=-1).exp()",
            ),
        ),
    ),
    benign(
        "sinkhorn-in-float64",
        _PRO,
        ("hyper_connections",),
        "a wide normalisation",
        edited(
            f"{_V4}:DeepseekV4HyperConnection.forward",
            wide=(
                "comb = torch.softmax(comb_w * comb_scale + comb_b, dim=-1) + self.hc_eps",
                "comb = torch.softmax((comb_w * comb_scale + comb_b).double(), dim=-1) + self.hc_eps",
            ),
            narrow=("return post, comb, collapsed", "return post, comb.float(), collapsed"),
        ),
    ),
    benign(
        "sinkhorn-longer",
        _FLASH,
        ("hyper_connections",),
        "ten more iterations",
        edited(f"{_V4}:DeepseekV4HyperConnection.forward", loop=("range(self.hc_sinkhorn_iters - 1)", "range(self.hc_sinkhorn_iters + 9)")),
    ),
    benign(
        "scores-in-float64",
        _FLASH,
        ("routing", "rollouts"),
        "a wide gate",
        edited(
            f"{_V4}:DeepseekV4TopKRouter.forward",
            wide=("logits = F.linear(flat, self.weight)", "logits = F.linear(flat.double(), self.weight.double()).float()"),
        ),
    ),
    benign(
        "experts-by-sort",
        _PRO,
        ("routing",),
        "a sort for top-k",
        edited(
            f"{_V4}:DeepseekV4TopKRouter.forward",
            sort=(
                "torch.topk(scores + self.e_score_correction_bias, self.top_k, dim=-1, sorted=False).indices",
                "torch.argsort(scores + self.e_score_correction_bias, dim=-1, descending=True)[:, : self.top_k].flip(-1)",
            ),
        ),
    ),
    benign(
        "attention-without-maximum",
        _FLASH,
        ("masking", "caching"),
        "softmax subtracts the maximum itself",
        edited(
            f"{_V4}:eager_attention_forward",
            maximum=("combined_logits = combined_logits - combined_logits.max(dim=-1, keepdim=True).values", "pass"),
        ),
    ),
    benign(
        "sink-first",
        _PRO,
        ("masking", "caching"),
        "the sink as the first column",
        edited(
            f"{_V4}:eager_attention_forward",
            cat=("torch.cat([attn_weights, sinks], dim=-1)", "torch.cat([sinks, attn_weights], dim=-1)"),
            drop=("probs[..., :-1]", "probs[..., 1:]"),
        ),
    ),
)


def _turned(right: Any) -> Any:
    return lambda micro, model: right(list(micro)[::-1], model)


def _forms(optimizer: str, as_what: str) -> Change:
    from suites.workloads.post_training.optimizers import OPTIMIZERS

    return replaced(f"{_STAGES}.optimizers:OPTIMIZERS.{optimizer}", lambda right: OPTIMIZERS[as_what])


_TRAINING = (
    benign(
        "micro-batches-turned",
        "llama",
        ("accumulation",),
        "another order of accumulation",
        replaced("suites.workloads.invariants.accumulation:accumulated", _turned),
    ),
    benign(
        "micro-batches-turned-v4",
        _FLASH,
        ("accumulation",),
        "another order of accumulation",
        replaced("suites.workloads.invariants.accumulation:accumulated", _turned),
    ),
    benign("adamw-fused-for-plain", "llama", ("optimizers",), "one kernel", _forms("adamw", "adamw-fused")),
    benign(
        "muon-in-float64",
        "llama",
        ("optimizers",),
        "wide Newton-Schulz",
        replaced("suites.workloads.invariants.optimizers:orthogonalise", lambda right: lambda x: right(x.double()).to(x.dtype)),
    ),
    benign(
        "muon-gram-turned",
        "llama",
        ("optimizers",),
        "y (b g + c g g) in another order",
        edited(
            f"{_STAGES}.muon:orthogonalise",
            order=("y = a * y + (b * gram + c * (gram @ gram)) @ y", "y = a * y + b * (gram @ y) + c * (gram @ (gram @ y))"),
        ),
    ),
    benign(
        "adapter-scaled-first",
        "llama",
        ("adapters",),
        "s (B (A x)) = B (s A x)",
        edited(
            f"{_STAGES}.lora:Adapter.forward",
            order=(
                "self.scale * nn.functional.linear(nn.functional.linear(x, self.a), self.b)",
                "nn.functional.linear(self.scale * nn.functional.linear(x, self.a), self.b)",
            ),
        ),
    ),
    benign(
        "adapter-as-one-matrix",
        "qwen3",
        ("adapters",),
        "(B A) x",
        edited(
            f"{_STAGES}.lora:Adapter.forward",
            order=("nn.functional.linear(nn.functional.linear(x, self.a), self.b)", "nn.functional.linear(x, self.b @ self.a)"),
        ),
    ),
    benign(
        "ratio-by-exp2",
        "llama",
        ("rollouts",),
        "2^(x log2 e)",
        edited(f"{_STAGES}.policy:clipped_ratio", ratio=("torch.exp(logprobs - old)", "torch.exp2((logprobs - old) * 1.4426950408889634)")),
    ),
    benign(
        "kl-as-cross-entropy-less-entropy",
        "qwen3",
        ("rollouts",),
        "sum p log p - sum p log q",
        edited(
            f"{_STAGES}.distillation:reverse_kl",
            parts=("(student.exp() * (student - teacher)).sum(-1)", "(student.exp() * student - student.exp() * teacher).sum(-1)"),
        ),
    ),
    benign(
        "group-deviation-by-variance",
        "llama",
        ("rollouts",),
        "sqrt of the variance",
        edited(f"{_STAGES}.policy:group_advantages", spread=("groups.std(1, keepdim=True)", "groups.var(1, keepdim=True).sqrt()")),
    ),
)

BENIGN: tuple[Seed, ...] = (*_NORM, *_V4_FORMS, *_TRAINING)
