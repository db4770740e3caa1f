"""Fine-tuning through low-rank adapters (LoRA) in plain PyTorch, without an adapter library. Knows no device."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.case import Case, Scalar, Step
from harness.errors import AssayError
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.model import place, refuse_dropout
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.promises import CHECKS, DETAILED, on_tiny_families
from suites.workloads.post_training.selecting import with_selections
from suites.workloads.post_training.sft import logits, next_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Query and value, as the authors have it; where they are made through a latent vector, what leads out of it, and in DeepSeek-V4, whose
# keys are its values, what makes both. Compressors and indexers have projections of the same names: those of `self_attn` alone are meant.
_TARGETS = ("q_proj", "v_proj", "q_b_proj", "kv_b_proj", "kv_proj")


class Adapter(nn.Module):
    """y = W x + (alpha / rank) B A x with W frozen (Hu et al., LoRA, ICLR 2022, equation 3; arXiv 2106.09685).

    `a` [rank, in] and `b` [out, rank] are trained; `b` begins as zero, so that training begins at the base model.
    """

    def __init__(self, base: nn.Linear, a: Tensor, alpha: float) -> None:
        super().__init__()
        self.base, self.scale = base, alpha / a.shape[0]
        self.a = nn.Parameter(a)
        self.b = nn.Parameter(a.new_zeros(base.out_features, a.shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., in] to [..., out]."""
        y: Tensor = self.base(x)
        return y + self.scale * nn.functional.linear(nn.functional.linear(x, self.a), self.b)


def adapt(inputs: Inputs, model: PreTrainedModel, rank: int, alpha: float) -> None:
    """Freeze a placed model and put an adapter around each query and value projection.

    `a` is drawn with the standard deviation sqrt(1 / (3 in)) that the authors' code (loralib) gives it. Raises AssayError when
    the model has no such projection.
    """
    model.requires_grad_(False)
    found = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Linear) and _targeted(name)]
    if not found:
        raise AssayError(
            f"{model.config.model_type}: no linear {' or '.join(_TARGETS)} under self_attn to adapt; choose another model for LoRA"
        )
    for name, linear in found:
        scale = 1 / math.sqrt(3 * linear.in_features)
        a = inputs.normal(f"{name}.a", (rank, linear.in_features), scale, dtype=torch.float32)
        model.set_submodule(name, Adapter(linear, a, alpha))


def _targeted(name: str) -> bool:
    path = name.split(".")
    return path[-1] in _TARGETS and "self_attn" in path[-2:]


def lora(
    inputs: Inputs, /, *, model: str, batch: int, length: int, steps: int, learning_rate: float, rank: int, alpha: float,
    detailed: bool = False, replay: bool = False,
) -> Step:  # fmt: skip
    """Train adapters alone: one AdamW step a call, `batch` rows of `length` tokens each, work counted in tokens.

    Outputs and the loop itself: see `loop.train`; gradients and updates are those of the adapters. With `detailed` the two batches after
    `steps` are held out. `replay` as in `sft`. Raises AssayError: model not to be loaded, with dropout, or without query and value
    projections.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    tokens = inputs.given("tokens", token_batches(language_model.tokenizer, batch, length, steps))
    unseen = token_batches(language_model.tokenizer, batch, length, 2, start=steps) if detailed else ()
    held_out = [inputs.given(f"held_out_{i}", rows) for i, rows in enumerate(unseen)]
    batches: list[Batch] = [{"tokens": rows} for rows in (*tokens, *held_out)]
    if replay:
        batches = with_selections(inputs, language_model.module, logits, batches)
    module = place(inputs, language_model.module, torch.float32)
    adapt(inputs, module, rank, alpha)
    objective = Objective(next_token, tokens=batch * length, first=logits)
    return train(
        inputs, module, batches[:steps], objective, learning_rate=learning_rate, held_out=batches[steps:], detailed=detailed,
    )  # fmt: skip


_PARAMS: dict[str, Scalar] = {"model": "default", "batch": 2, "length": 64, "steps": 10, "learning_rate": 2e-4, "rank": 8, "alpha": 16.0}

_TINY: dict[str, Scalar] = {"batch": 2, "length": 64, "steps": 8, "learning_rate": 1e-2, "rank": 4, "alpha": 8.0, "detailed": True}

CASES = (
    Case("post_training/lora[float32]", "post_training", lora, "float32", CHECKS, _PARAMS, rounds=10, fresh=True, timeout=900, band=1),
    *on_tiny_families("lora", lora, DETAILED, _TINY, replays=True),
)
