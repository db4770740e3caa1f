"""Training a reward model on preferences (Ouyang et al., NeurIPS 2022; arXiv 2203.02155) in plain PyTorch. Knows no device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.case import Scalar, Step
from harness.inputs import Inputs
from suites.assets.language_model import load
from suites.workloads.model import place, refuse_dropout
from suites.workloads.post_training.bradley_terry import CHECKS, bradley_terry
from suites.workloads.post_training.completions import given, pair_batches, token_logprobs
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.promises import on_tiny_families
from suites.workloads.post_training.selecting import replaying, with_selections

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class RewardModel(nn.Module):
    """A language model's backbone with a scalar head [1, hidden] on the last hidden state of a row's last token.

    Of its own, because transformers has none for some of the families (DeepSeek-V4 among them).
    """

    def __init__(self, backbone: nn.Module, head: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Parameter(head)

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the reward of each row, float32 [rows], given int64 [rows, length], padded on the right."""
        states: Tensor = self.backbone(input_ids=tokens, attention_mask=attention_mask, use_cache=False).last_hidden_state
        last = attention_mask.sum(-1) - 1
        ends = states[torch.arange(len(states), device=states.device), last]
        # no matrix product: under autocast that would round a reward to bfloat16, and a margin is a small difference of two
        return (ends.float() * self.head.float()).sum(-1)


def reward(
    inputs: Inputs, /, *, model: str, pairs: int, length: int, steps: int, epochs: int, learning_rate: float,
    sketches: bool = True, detailed: bool = False, replay: bool = False,
) -> Step:  # fmt: skip
    """Train a reward model, every weight: one optimizer step a call on `pairs` preferences, rows of `length` tokens each.

    Work is counted in tokens. There are `steps // epochs` different batches, and one more that is held out. The loss is that of a
    preference explained by rewards (equation 1, and `bradley_terry`). `replay` as in `sft`.
    Outputs and the loop itself: see `bradley_terry`, `both_rewards` and `loop.train`. Raises AssayError: model not to be
    loaded, or with dropout; too little text of that length.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    batches = given(inputs, pair_batches(language_model.tokenizer, pairs, length, steps // epochs + 1))
    if replay:
        batches = with_selections(inputs, language_model.module, token_logprobs, batches)
    *batches, held_out = batches
    module = with_head(inputs, place(inputs, language_model.module, torch.float32))
    objective = Objective(reward_loss, tokens=2 * pairs * length, first=both_rewards)
    return train(inputs, module, batches, objective, learning_rate=learning_rate, held_out=[held_out], sketches=sketches, detailed=detailed)


def with_head(inputs: Inputs, model: PreTrainedModel) -> RewardModel:
    """Return the reward model of a placed language model, whose language head is left out.

    The head is drawn with the standard deviation 1 / sqrt(hidden + 1) (Huang et al., COLM 2024; arXiv 2403.17031, detail 11).
    """
    hidden = model.config.get_text_config().hidden_size
    return RewardModel(model.base_model, inputs.normal("head", (1, hidden), 1 / math.sqrt(hidden + 1), dtype=torch.float32))


def rewards(model: nn.Module, batch: Batch) -> Tensor:
    """Return the rewards of a batch's rows, float32 [rows]."""
    with replaying(batch):
        found: Tensor = model(batch["tokens"], batch["attention_mask"])
    return found


def reward_loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Return what `bradley_terry` does, for a batch of chosen, then rejected rows."""
    return bradley_terry(rewards(model, batch))


def both_rewards(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Return `rewards` [2 pairs] of the untrained model: the chosen completions', then the rejected ones'."""
    return {"rewards": rewards(model, batch)}


_TINY: dict[str, Scalar] = {"pairs": 2, "length": 48, "steps": 6, "epochs": 3, "learning_rate": 2e-4, "detailed": True}

CASES = on_tiny_families("reward", reward, CHECKS, _TINY, replays=True)
