"""Wrong operators put in the place of the right one, many of kinds that devices have shipped with: each must fail its case."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.verdict import Outcome
from suites.workloads.operators import adamw, rotary, routing, swiglu
from tests.suites.workloads.operators.judging import outcome, outputs_of, recorded
from tests.suites.workloads.operators.test_operators import CASES

BY_ID = {case.id: case for case in CASES}

real_attention, real_rms_norm, real_embedding = F.scaled_dot_product_attention, F.rms_norm, F.embedding
real_cross_entropy, real_softmax, real_linear, real_matmul = F.cross_entropy, F.softmax, F.linear, torch.matmul
real_topk, real_rotary = routing.softmax_topk, rotary.half_split_rotary


def drops_the_mask(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    return real_attention(query, key, value, enable_gqa=options["enable_gqa"])


def interleaves_groups(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    repeats = query.shape[1] // key.shape[1]
    return real_attention(query, key.repeat(1, repeats, 1, 1), value.repeat(1, repeats, 1, 1), is_causal=options["is_causal"])


def forgets_the_scale(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    return real_attention(query, key, value, scale=1.0, **options)


def averages_where_nothing_is_seen(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    mask = options["attn_mask"]
    return real_attention(query, key, value, attn_mask=mask | ~mask.any(-1, keepdim=True), enable_gqa=options["enable_gqa"])


def turns_neighbours(states: Tensor, angles: Tensor) -> Tensor:
    even, odd = states[..., 0::2], states[..., 1::2]
    cosine, sine = angles.cos().to(states.dtype), angles.sin().to(states.dtype)
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


def rounds_the_angles(states: Tensor, angles: Tensor) -> Tensor:
    return real_rotary(states, angles.to(torch.bfloat16).float())


def keeps_the_last_gradient_only(ids: Tensor, table: Tensor) -> Tensor:
    flat = ids.flatten()
    last = torch.zeros(len(table), dtype=torch.int64).scatter(0, flat, torch.arange(len(flat)))
    counts = (last[flat] == torch.arange(len(flat))).view(*ids.shape, 1)
    out = real_embedding(ids, table)
    return torch.where(counts, out, out.detach())


def counts_ignored_tokens(logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
    return real_cross_entropy(logits, labels, ignore_index=options["ignore_index"], reduction="none").mean()


def skips_renormalisation(logits: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    experts, _, scores = real_topk(logits, k)
    return experts, scores.gather(1, experts).to(logits.dtype), scores


def takes_the_next_expert(logits: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    experts, weights, scores = real_topk(logits, k + 1)
    return experts[:, 1:], weights[:, 1:], scores


def pairs_weights_with_other_experts(logits: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    experts, weights, scores = real_topk(logits, k)
    return experts.flip(1), weights, scores


def ignores_the_weight(states: Tensor, shape: tuple[int, ...], weight: Tensor, eps: float) -> Tensor:
    return real_rms_norm(states, shape, None, eps) + 0 * weight


def squares_in_bfloat16(states: Tensor, shape: tuple[int, ...], weight: Tensor, eps: float) -> Tensor:
    return states * torch.rsqrt(states.to(torch.bfloat16).square().mean(-1, keepdim=True).float() + eps) * weight


def truncates_to_tf32(left: Tensor, right: Tensor) -> Tensor:
    def cut(x: Tensor) -> Tensor:
        return x + (x.detach().view(torch.int32) & ~0x1FFF).view(torch.float32) - x.detach()

    return real_matmul(cut(left), cut(right))


def drops_the_last_of_the_sum(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return real_linear(states[..., :-1], weight[..., :-1], bias) + 0 * (states.sum() + weight.sum())


def takes_the_wrong_dimension(scores: Tensor, dim: int) -> Tensor:
    return real_softmax(scores, dim=-1 if dim == 1 else 1)


def gates_with_up(gate: Tensor, up: Tensor) -> Tensor:
    return F.silu(up) * gate


FAULTS: list[tuple[str, Any, str, Callable[..., Any]]] = [
    ("attention-causal", F, "scaled_dot_product_attention", drops_the_mask),
    ("attention-ragged", F, "scaled_dot_product_attention", drops_the_mask),
    ("attention-gqa", F, "scaled_dot_product_attention", interleaves_groups),
    ("attention-full", F, "scaled_dot_product_attention", forgets_the_scale),
    ("attention-left_padded", F, "scaled_dot_product_attention", averages_where_nothing_is_seen),
    ("rotary", rotary, "half_split_rotary", turns_neighbours),
    ("rotary-far", rotary, "half_split_rotary", rounds_the_angles),
    ("embedding", F, "embedding", keeps_the_last_gradient_only),
    ("cross_entropy", F, "cross_entropy", counts_ignored_tokens),
    ("routing-apart", routing, "softmax_topk", skips_renormalisation),
    ("routing-apart", routing, "softmax_topk", pairs_weights_with_other_experts),
    ("routing", routing, "softmax_topk", takes_the_next_expert),
    ("rms_norm", F, "rms_norm", ignores_the_weight),
    ("rms_norm", F, "rms_norm", squares_in_bfloat16),
    ("matmul", torch, "matmul", truncates_to_tf32),
    ("linear", F, "linear", drops_the_last_of_the_sum),
    ("softmax-strided", F, "softmax", takes_the_wrong_dimension),
    ("swiglu", swiglu, "silu_times", gates_with_up),
]


FLOAT32_ONLY = {truncates_to_tf32, squares_in_bfloat16}  # faults of precision that bfloat16 has anyway
RUNS = [(*fault, dtype) for fault in FAULTS for dtype in ("float32", "bfloat16") if dtype == "float32" or fault[3] not in FLOAT32_ONLY]


@pytest.mark.parametrize(
    ("variant", "home", "name", "fault", "dtype"), RUNS, ids=[f"{variant}-{fault.__name__}-{dtype}" for variant, _, _, fault, dtype in RUNS]
)
def test_a_fault_fails(variant: str, home: Any, name: str, fault: Callable[..., Any], dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = BY_ID[f"operators/{variant}[{dtype}]"]
    reference, golden = recorded(case, outputs_of(case)), recorded(case, outputs_of(case, golden=True))
    monkeypatch.setattr(home, name, fault)
    assert outcome(case, recorded(case, outputs_of(case)), reference, golden) is Outcome.FAIL


COARSE = [{"weight_decay": 0.0}, {"steps": 2}, {"lr": 0.022}]
FINE = [{"eps": 1e-2}, {"lr": 0.0201}]  # less than bfloat16 can tell


@pytest.mark.parametrize(
    ("dtype", "change"),
    [("bfloat16", change) for change in COARSE] + [(dtype, change) for dtype in ("float32", "float16") for change in COARSE + FINE],
    ids=str,
)
def test_an_optimizer_of_another_mind_fails(dtype: str, change: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    case = BY_ID[f"operators/adamw[{dtype}]"]
    reference, golden = recorded(case, outputs_of(case)), recorded(case, outputs_of(case, golden=True))
    real = adamw.step_with_torch

    def other(params: Any, gradients: Any, lr: float, eps: float, weight_decay: float, fused: bool) -> Any:
        options = {"lr": lr, "eps": eps, "weight_decay": weight_decay, "steps": 3} | change
        kept = {name: drawn[: int(options["steps"])] for name, drawn in gradients.items()}
        return real(params, kept, options["lr"], options["eps"], options["weight_decay"], fused)

    monkeypatch.setattr(adamw, "step_with_torch", other)
    assert outcome(case, recorded(case, outputs_of(case)), reference, golden) is Outcome.FAIL
