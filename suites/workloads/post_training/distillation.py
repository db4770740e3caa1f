"""On-policy distillation from several teachers over the full vocabulary, as DeepSeek-V4 is post-trained. Knows no device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.case import Scalar, Step
from harness.checks.closeness import Closeness
from harness.inputs import Inputs, draw_normal
from suites.assets.language_model import load
from suites.workloads.model import arithmetic, place, refuse_dropout
from suites.workloads.post_training.completions import given
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.policy import masked_mean
from suites.workloads.post_training.promises import on_tiny_families, promised
from suites.workloads.post_training.rollout import completion_scores, sampled_batches
from suites.workloads.post_training.selecting import replaying, with_selections

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def distillation(
    inputs: Inputs, /, *, model: str, teachers: int, spread: float, prompts: int, samples: int, new_tokens: int, steps: int, epochs: int,
    learning_rate: float, detailed: bool = False, replay: bool = False,
) -> Step:  # fmt: skip
    """Train every weight: one optimizer step a call on `samples` completions of each of `prompts` prompts, work counted in tokens.

    There are `steps // epochs` different batches, sampled by the untrained student, on the host. A teacher is the student with its weights
    moved by `spread` of their size; what it thinks of the completions is computed here, on the device, and kept as last hidden states.
    `replay` as in `sft`, for student and teachers each their own. Outputs and the loop itself: see `reverse_kl` and `loop.train`. Raises
    AssayError: model not to be loaded, or with dropout.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    batches = given(inputs, sampled_batches(language_model, inputs.seed, prompts, samples, new_tokens, steps // epochs))
    own = with_selections(inputs, language_model.module, last_hidden, batches) if replay else batches
    heads = []
    for i in range(teachers):
        host = moved(inputs.seed, language_model.module, f"teacher_{i}", spread)
        read = with_selections(inputs, host, last_hidden, batches, f"teacher_{i}_") if replay else batches
        teacher = place(inputs, host, torch.float32, f"teacher_{i}")
        with torch.no_grad(), arithmetic(inputs, mixed=True):
            own = [{**batch, f"hidden_{i}": last_hidden(teacher, rows)} for batch, rows in zip(own, read, strict=True)]
        heads.append(head_of(teacher))
    module = place(inputs, language_model.module, torch.float32)
    tokens = prompts * samples * (batches[0]["prompts"].shape[1] + new_tokens)
    objective = Objective(reverse_kl(heads), tokens, first=lambda _, batch: taught(heads, batch))
    return train(inputs, module, own, objective, learning_rate=learning_rate, detailed=detailed)


def moved(seed: int, model: PreTrainedModel, name: str, spread: float) -> PreTrainedModel:
    """Return a copy of a host model, each weight w of it replaced by w (1 + spread n), n drawn from the standard normal law."""
    teacher = deepcopy(model)
    with torch.no_grad():
        for key, parameter in teacher.named_parameters():
            drawn = torch.from_numpy(draw_normal(seed, f"{name}/{key}", parameter.numel())).reshape(parameter.shape)
            parameter.copy_(parameter * (1 + spread * drawn))  # element by element in float64, so that every host has the same bits
    return teacher


def last_hidden(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return what the head reads at each token of the completions, [rows, new, hidden]: less than logits by hidden / vocabulary."""
    rows = torch.cat([batch["prompts"], batch["tokens"]], 1)
    with replaying(batch):
        hidden: Tensor = model.base_model(input_ids=rows, use_cache=False).last_hidden_state
    return hidden[:, -batch["tokens"].shape[1] - 1 : -1].clone()


def head_of(model: PreTrainedModel) -> nn.Module:
    """Return a model's head, frozen: from hidden states [..., hidden] to logits [..., vocabulary]."""
    head: nn.Module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head.requires_grad_(False)


def taught(heads: Sequence[nn.Module], batch: Batch) -> Mapping[str, Tensor]:
    """Return each teacher's log-probabilities `teacher_<i>` [rows, new, vocabulary], rebuilt from hidden states by its head, float32."""
    return {f"teacher_{i}": functional.log_softmax(head(batch[f"hidden_{i}"]).float(), -1) for i, head in enumerate(heads)}


def reverse_kl(heads: Sequence[nn.Module]) -> Callable[[nn.Module, Batch], Mapping[str, Tensor]]:
    """Return an objective's `loss` = sum_i w_i KL(student || teacher i), and each `kl_<i>`, in nats (DeepSeek-V4, arXiv 2606.19348).

    KL = sum_v p(v) (log p(v) - log q(v)) over the full vocabulary, the mean over a completion's tokens, then over completions. The
    weights are as 1 : 2 : 3 ..., so that no two teachers could be confused, and sum to 1.
    """
    total = len(heads) * (len(heads) + 1) / 2

    def loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        with replaying(batch):
            student = completion_scores(model, batch["prompts"], batch["tokens"])
        apart = {
            f"kl_{i}": masked_mean((student.exp() * (student - teacher)).sum(-1), batch["mask"])
            for i, teacher in enumerate(taught(heads, batch).values())
        }
        weighted = [(i + 1) / total * kl for i, kl in enumerate(apart.values())]
        return {"loss": torch.stack(weighted).sum(), **apart}

    return loss


CHECKS = (Closeness(only=("first/*",)), *promised(("kl_0", "kl_1")))

_TINY: dict[str, Scalar] = {
    "teachers": 2, "spread": 0.5, "prompts": 2, "samples": 2, "new_tokens": 12, "steps": 8, "epochs": 4, "learning_rate": 5e-4,
    "detailed": True,
}  # fmt: skip

CASES = on_tiny_families("distillation", distillation, CHECKS, _TINY, replays=True)
