"""Kahneman-Tversky optimization (Ethayarajh et al., ICML 2024; arXiv 2402.01306) in plain PyTorch. Knows no device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.case import Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.inputs import Inputs
from suites.assets.language_model import load
from suites.assets.preferences import preferences
from suites.workloads.model import place, refuse_dropout
from suites.workloads.post_training.completions import Row, given, log_ratios, padded, padding_of, token_logprobs, with_reference
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.promises import on_tiny_families, promised
from suites.workloads.post_training.selecting import with_selections

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MISMATCHED = "mismatched_"


def kto(
    inputs: Inputs, /, *, model: str, batch: int, length: int, steps: int, epochs: int, learning_rate: float, beta: float,
    desirable_weight: float = 1.0, undesirable_weight: float = 1.0, sketches: bool = True, detailed: bool = False, replay: bool = False,
) -> Step:  # fmt: skip
    """Train every weight: one optimizer step a call on `batch` completions of other prompts each, by turns desirable and not.

    Rows have `length` tokens; work is counted in tokens, of the mismatched rows too. There are `steps // epochs` different batches, and
    one more that is held out. The reference is the untrained model, whose log-probabilities are computed here, on the same device.
    `replay` as in `sft`. Outputs and the loop itself: see `kto_loss` and `loop.train`. Raises AssayError: model not to be loaded, or with
    dropout; too little text of that length.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    both = []
    for prefix, rows in zip(("", _MISMATCHED), _rows(language_model.tokenizer, batch, length, steps // epochs + 1), strict=True):
        found = given(inputs, rows, prefix)
        both.append(with_selections(inputs, language_model.module, token_logprobs, found, prefix) if replay else found)
    module = place(inputs, language_model.module, torch.float32)
    *batches, held_out = (
        {**own, **{_MISMATCHED + key: tensor for key, tensor in other.items()}}
        for own, other in zip(*(with_reference(inputs, module, found) for found in both), strict=True)
    )
    objective = Objective(kto_loss(beta, desirable_weight, undesirable_weight), tokens=2 * batch * length, first=first_logprobs)
    return train(inputs, module, batches, objective, learning_rate=learning_rate, held_out=[held_out], sketches=sketches, detailed=detailed)


def kto_loss(beta: float, desirable_weight: float, undesirable_weight: float) -> Callable[[nn.Module, Batch], Mapping[str, Tensor]]:
    """Return an objective's `loss`, for batches of rows with `desirable` (bool [rows]), and mismatched rows.

    With r = log p(y|x) - log p_ref(y|x) and the reference point z, L_KTO is the mean of w (1 - sigmoid(beta (r - z))) over desirable and of
    w' (1 - sigmoid(beta (z - r))) over undesirable rows, all together. z is the paper's estimate of KL(p || p_ref): `divergence`, the mean
    r of prompts with the completions of other prompts, at least 0 (`reference_point`); no gradient flows through it. With the loss go
    these two (in nats), and the means of beta r, `desirable_reward` and `undesirable_reward`.
    """

    def loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        ratios = log_ratios(model, batch)
        divergence = divergence_of(model, batch)
        point = divergence.clamp(min=0)
        desirable = batch["desirable"].to(ratios.dtype)  # 1 or 0
        gains = (2 * desirable - 1) * (ratios - point)
        weights = undesirable_weight + (desirable_weight - undesirable_weight) * desirable
        rewards = beta * ratios
        return {
            "loss": (weights * (1 - torch.sigmoid(beta * gains))).mean(), "divergence": divergence, "reference_point": point,
            "desirable_reward": (desirable * rewards).sum() / desirable.sum(),
            "undesirable_reward": ((1 - desirable) * rewards).sum() / (1 - desirable).sum(),
        }  # fmt: skip

    return loss


@torch.no_grad()
def divergence_of(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean of log p(y'|x) - log p_ref(y'|x) over the mismatched rows of a batch, in nats; it may be negative."""
    return log_ratios(model, _mismatched(batch)).mean()


def first_logprobs(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Return `logprobs` and `mismatched_logprobs`, float32 [rows, length - 1], as `token_logprobs` gives them."""
    return {"logprobs": token_logprobs(model, batch), "mismatched_logprobs": token_logprobs(model, _mismatched(batch))}


def _mismatched(batch: Batch) -> Batch:
    return {key.removeprefix(_MISMATCHED): tensor for key, tensor in batch.items() if key.startswith(_MISMATCHED)}


def _rows(
    tokenizer: PreTrainedTokenizerBase, size: int, length: int, count: int
) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """Return `count` host batches of `size` rows and, for each, the same prompts with the completion of the row after, cut to `length`."""
    found, padding = preferences(tokenizer, count * size, length), padding_of(tokenizer)
    desirable = torch.arange(size) % 2 == 0
    matched, mismatched = [], []
    for begin in range(0, len(found), size):
        rows: list[Row] = [
            (pair.prompt, pair.chosen if good else pair.rejected)
            for pair, good in zip(found[begin : begin + size], desirable.tolist(), strict=True)
        ]
        after = [completion for _, completion in (*rows[1:], rows[0])]
        others: list[Row] = [(prompt, other[: length - len(prompt)]) for (prompt, _), other in zip(rows, after, strict=True)]
        matched.append({**padded(rows, length, padding), "desirable": desirable.clone()})
        mismatched.append(padded(others, length, padding))
    return matched, mismatched


#: The reference point is judged through the divergence: where that is negative it is 0 for many steps.
CHECKS: tuple[Promise, ...] = (
    Closeness(only=("first/*",)), *promised(("desirable_reward", "undesirable_reward", "divergence")),
)  # fmt: skip

_TINY: dict[str, Scalar] = {
    "batch": 4, "length": 48, "steps": 6, "epochs": 3, "learning_rate": 1e-3, "beta": 0.1, "undesirable_weight": 1.25, "detailed": True,
}  # fmt: skip

CASES = on_tiny_families("kto", kto, CHECKS, _TINY, replays=True)
