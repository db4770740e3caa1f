"""torch_npu's gates of a mixture of experts, from logits that leave no doubt and from logits that do. Knows no device."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from harness.case import Scalar, Step
from harness.checks.choices import Choices
from harness.checks.closeness import Closeness
from harness.checks.probed import Probed
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from reference.oracles.fused import gating as oracle
from suites.workloads.operators.fused.drawing import bits
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import on_npu
from suites.workloads.operators.routing import separated_logits


def apart(inputs: Inputs, tokens: int, experts: int, scale: float = 1.0) -> Tensor:
    """Give logits [tokens, experts] of which no two in a row are closer than `scale / 8`."""
    return inputs.given("logits", (separated_logits(inputs.seed, tokens, experts) * scale).to(inputs.dtype))


def softmax_gate(inputs: Inputs, /, *, tokens: int, experts: int, chosen: int, finished: bool) -> Step:
    """Gate [tokens, experts]; returns `weights`, `experts`, `rows`."""
    operator = inputs.fused("npu_moe_gating_top_k_softmax", oracle.moe_gating_top_k_softmax)
    logits, done = apart(inputs, tokens, experts), bits(inputs, "finished", (tokens,), 0.2) if finished else None
    return Step(lambda: dict(zip(("weights", "experts", "rows"), operator(logits, done, chosen), strict=True)))


def softmax_gate_v2(inputs: Inputs, /, *, tokens: int, experts: int, chosen: int, renorm: int) -> Step:
    """Gate [tokens, experts] before or after the choice; returns `weights`, `experts`, and `scores` where there are any."""
    operator = inputs.fused("npu_moe_gating_top_k_softmax_v2", oracle.moe_gating_top_k_softmax_v2)
    logits = apart(inputs, tokens, experts)

    def call() -> dict[str, Tensor]:
        weights, chosen_experts, scores = operator(logits, k=chosen, renorm=renorm, output_softmax=not renorm)
        return {"weights": weights, "experts": chosen_experts} | ({} if renorm else {"scores": scores})

    return Step(call)


def doubtful_gate(inputs: Inputs, /, *, tokens: int, experts: int, chosen: int) -> Step:
    """Gate normal logits, among which are near-ties; returns `experts`, `scores`."""
    operator = inputs.fused("npu_moe_gating_top_k_softmax_v2", oracle.moe_gating_top_k_softmax_v2)
    logits = inputs.normal("logits", (tokens, experts))

    def call() -> dict[str, Tensor]:
        _, chosen_experts, scores = operator(logits, k=chosen, renorm=0, output_softmax=True)
        return {"experts": chosen_experts.long(), "scores": scores}

    return Step(call)


def gate(
    inputs: Inputs,
    /,
    *,
    tokens: int,
    experts: int,
    chosen: int,
    norm_type: int,
    biased: bool = False,
    groups: int = 1,
    kept: int = 1,
    group_select_mode: int = 0,
    renorm: int = 0,
    scaling: float = 1.0,
    backward: bool = False,
) -> Step:
    """Gate [tokens, experts] as DeepSeek does; returns `weights`, `experts`, `scores`, and `grad_logits` with `backward`."""
    operator = inputs.fused("npu_moe_gating_top_k", oracle.moe_gating_top_k)
    options: dict[str, Any] = {
        "norm_type": norm_type, "group_count": groups, "k_group": kept, "group_select_mode": group_select_mode, "renorm": renorm,
        "routed_scaling_factor": scaling, "out_flag": True,
    }  # fmt: skip
    if biased:
        options["bias"] = inputs.normal("bias", (experts,), scale=2.0**-14)  # it must not bring two experts together
    logits = apart(inputs, tokens, experts, 0.5 if norm_type == 1 else 1.0)

    def call(logits: Tensor) -> dict[str, Tensor]:
        return dict(zip(("weights", "experts", "scores"), operator(logits, chosen, **options), strict=True))

    if not backward:
        return Step(lambda: call(logits))
    return Step(with_gradients(call, {"logits": logits}, {"weights": inputs.normal("cotangent", (tokens, chosen))}))


TOKENS: Mapping[str, Scalar] = {"tokens": 33, "experts": 64, "chosen": 6}

CASES = (
    *on_npu(
        softmax_gate,
        {
            "npu_moe_gating_top_k_softmax": {**TOKENS, "finished": False},
            "npu_moe_gating_top_k_softmax-finished": {"tokens": 17, "experts": 31, "chosen": 4, "finished": True},
        },
    ),
    *on_npu(
        softmax_gate_v2,
        {"npu_moe_gating_top_k_softmax_v2": {**TOKENS, "renorm": 0}, "npu_moe_gating_top_k_softmax_v2-renorm": {**TOKENS, "renorm": 1}},
    ),
    *on_npu(
        doubtful_gate,
        {"npu_moe_gating_top_k_softmax_v2-near_ties": {"tokens": 127, "experts": 128, "chosen": 8}},
        checks=(SpecialValues(), Choices(chosen="experts", scores="scores"), Closeness(only=("scores",)), Probed()),
    ),
    *on_npu(
        gate,
        {
            "npu_moe_gating_top_k-softmax": {**TOKENS, "norm_type": 0},
            "npu_moe_gating_top_k-renorm": {**TOKENS, "norm_type": 0, "renorm": 1},
            "npu_moe_gating_top_k-sigmoid": {"tokens": 33, "experts": 17, "chosen": 6, "norm_type": 1, "scaling": 2.5, "backward": True},
            "npu_moe_gating_top_k-groups": {
                **TOKENS, "norm_type": 1, "biased": True, "groups": 8, "kept": 4, "group_select_mode": 1, "scaling": 2.5,
            },
            "npu_moe_gating_top_k-groups_of_best": {**TOKENS, "norm_type": 0, "groups": 8, "kept": 3, "scaling": 16.0},
        },
    ),
)  # fmt: skip
