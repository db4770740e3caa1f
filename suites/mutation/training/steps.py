"""Faults of optimizers, of resuming, and of narrow formats. Knows no invariant."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from harness.verdict import Cause
from suites.mutation.seeds import Change, Seed, edited, fault, replaced

_STAGES = "suites.workloads.post_training"
_FLASH = "deepseek_v4-flash"
_GRADIENT, _UPDATE = Cause.GRADIENT, Cause.UPDATE


_INVARIANTS = "suites.workloads.invariants"


def _step(before: Any = None, after: Any = None) -> Change:
    """Return what does something to each parameter of AdamW before and after its step."""

    def make(right: Any) -> Any:
        def step(self: Optimizer, *args: Any, **rest: Any) -> Any:
            _for_each(self, before)
            found = right(self, *args, **rest)
            _for_each(self, after)
            return found

        return step

    return replaced("torch.optim:AdamW.step", make)


@torch.no_grad()
def _for_each(optimizer: Optimizer, act: Any) -> None:
    for group in optimizer.param_groups if act else ():
        for parameter in group["params"]:
            act(parameter, group, optimizer.state.get(parameter, {}))


def _cast(dtype: torch.dtype) -> Any:
    def act(_parameter: Tensor, _group: Any, state: dict[str, Any]) -> None:
        state.update({k: v.to(dtype) for k, v in state.items() if isinstance(v, Tensor) and v.ndim})

    return act


def _forgetful(right: Any) -> Any:
    def load(self: Optimizer, document: dict[str, Any]) -> Any:
        found = right(self, document)
        _for_each(self, lambda _p, _g, state: "exp_avg_sq" in state and state["exp_avg_sq"].zero_())
        return found

    return load


def _uncorrected(right: Any) -> Any:
    def step(self: Optimizer, *args: Any, **rest: Any) -> Any:
        found = right(self, *args, **rest)
        _for_each(
            self, lambda p, g, s: p.add_(s["exp_avg"] / (s["exp_avg_sq"].sqrt() + 1e-8), alpha=g["lr"] * 0.01) if "exp_avg" in s else None
        )
        return found

    return step


def _each_alone(right: Any) -> Any:
    return lambda parameters, norm, **rest: torch.stack([right([p], norm, **rest) for p in parameters]).norm()


_STEPS = (
    fault(
        "muon-decays-twice",
        "llama",
        "optimizers",
        (_UPDATE,),
        "no report known, a plausible slip: decay in the step and beside it",
        edited(f"{_STAGES}.muon:_step_matrix", decay=("parameter.mul_(1 - lr * _DECAY)", "parameter.mul_((1 - lr * _DECAY) ** 2)")),
    ),
    fault(
        "decay-twice",
        "llama",
        "optimizers",
        (_UPDATE,),
        "no report known, a plausible slip: decay in the optimizer and in the gradient",
        _step(before=lambda p, g, _s: p.mul_(1 - g["lr"] * g["weight_decay"]) if p.grad is not None else None),
    ),
    fault(
        "decay-without-rate",
        "llama",
        "optimizers",
        (_UPDATE,),
        "tensorflow/addons#2282, FluxML/Optimisers.jl#182: decay that the rate does not scale",
        _step(before=lambda p, g, _s: p.mul_(1 - 1e-4) if p.grad is not None else None),
    ),
    fault(
        "bias-correction-coarse",
        "llama",
        "optimizers",
        (_UPDATE,),
        "no report known, a plausible slip: a step that is one in a hundred too short",
        replaced("torch.optim:AdamW.step", _uncorrected),
    ),
    fault(
        "fused-ignores-decay",
        "llama",
        "optimizers",
        (_UPDATE,),
        "nntile/nntile#427 (review): a fused optimizer without decay, unless it is given",
        replaced(
            f"{_STAGES}.optimizers:OPTIMIZERS.adamw-fused",
            lambda right: lambda trained, rate: torch.optim.AdamW(trained.values(), lr=rate, weight_decay=0.0, fused=True),
        ),
    ),
    fault(
        "updates-rounded",
        "llama",
        "optimizers",
        (_UPDATE,),
        "pytorch/ao#1124: bfloat16 weights lose what is smaller than their last digit",
        _step(after=lambda p, _g, _s: p.copy_(p.bfloat16())),
    ),
    fault(
        "states-in-bfloat16",
        "llama",
        "optimizers",
        (_UPDATE,),
        "Nerogar/OneTrainer#1005: moments narrower than the weights",
        _step(_cast(torch.float32), _cast(torch.bfloat16)),
    ),
    fault(
        "resume-forgets-moments",
        "llama",
        "optimizers",
        (_UPDATE,),
        "KempnerInstitute/KempnerForge#115, EvolvingLMMs-Lab/OneVision-Encoder#65: moments lost on resuming",
        replaced("torch.optim:Optimizer.load_state_dict", _forgetful),
    ),
    fault(
        "clip-each-alone",
        "llama",
        "optimizers",
        (_UPDATE,),
        "pytorch/pytorch#170862: the norm of one shard",
        replaced(f"{_INVARIANTS}.optimizers:clip_grad_norm_", _each_alone),
    ),
    fault(
        "newton-schulz-five",
        "llama",
        "optimizers",
        (_UPDATE,),
        "https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html: five iterations by default",
        replaced(f"{_STAGES}.muon:_COEFFICIENTS", lambda right: right[:5]),
    ),
    fault(
        "muon-flattens-experts",
        "llama",
        "optimizers",
        (_UPDATE,),
        "marin-community/marin#8621: experts counted as one matrix",
        replaced(f"{_INVARIANTS}.optimizers:orthogonalise", lambda right: lambda x: right(x.flatten(0, -2)).reshape(x.shape)),
    ),
)


_FORMATS = "reference.oracles.block_formats"

_NARROW = (
    fault(
        "real-scales-for-fp8",
        "qwen3_moe",
        "quantization",
        (Cause.PRECISION,),
        "sgl-project/sglang#39193: real scales where V4's powers of two were meant; four bits do not go to eight without loss",
        edited(f"{_FORMATS}:quantise", rule=("if rule is Rule.REAL:", "if rule is Rule.REAL or element is E4M3:")),
    ),
    fault(
        "quantised-towards-zero",
        "llama",
        "quantization",
        (Cause.PRECISION,),
        "sgl-project/sglang-jax#1598, hw-native-sys/pto-isa#318 (for NPUs): truncation for rounding to nearest",
        edited(f"{_FORMATS}:to_element", round=("torch.round(", "torch.trunc(")),
    ),
    fault(
        "quantised-downwards",
        "llama",
        "quantization",
        (Cause.PRECISION,),
        "no report known, a plausible slip: floor for rounding to nearest",
        edited(f"{_FORMATS}:to_element", round=("torch.round(", "torch.floor(")),
    ),
    fault(
        "scales-saturate",
        _FLASH,
        "quantization",
        (Cause.PRECISION,),
        "ROCm/aiter#3212: OCP's rule where DeepSeek's was meant: the largest are cut off",
        edited(f"{_FORMATS}:quantise", rule=("if rule is Rule.CEILING:", "if rule is None:")),
    ),
    fault(
        "subnormals-flushed",
        "qwen3",
        "quantization",
        (Cause.PRECISION,),
        "PTO-ISA/SuperNPUBench#49 (review): the smallest numbers of a format are zero",
        edited(f"{_FORMATS}:to_element", flush=("return (units", "return torch.where(exponent(t) < element.least, 0.0, 1.0) * (units")),
    ),
    fault(
        "rounding-eats-the-gradient",
        "llama",
        "quantization",
        (_GRADIENT,),
        "pytorch/ao#4806: the gradient does not pass straight through",
        edited(
            f"{_STAGES}.quantised:StraightThrough.backward",
            gradient=("return gradients[0], None", "return gradients[0].bfloat16().float(), None"),
        ),
    ),
)

FAULTS: tuple[Seed, ...] = (*_STEPS, *_NARROW)
