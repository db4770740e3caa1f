"""Group relative policy optimization (DeepSeekMath, arXiv 2402.03300) with a verifiable reward, in plain PyTorch. Knows no device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.case import Case, Scalar, Step
from harness.checks.closeness import Closeness
from harness.inputs import Inputs
from suites.assets.language_model import load
from suites.assets.tasks import documents
from suites.assets.verifiable import reward
from suites.workloads.model import arithmetic, place, refuse_dropout
from suites.workloads.post_training.completions import given
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.policy import clipped_ratio, group_advantages, k3, masked_mean
from suites.workloads.post_training.promises import on_tiny_families, promised
from suites.workloads.post_training.rollout import completion_logprobs, sampled_batches
from suites.workloads.post_training.selecting import replaying, with_selections

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def grpo(
    inputs: Inputs, /, *, model: str, prompts: int, samples: int, new_tokens: int, steps: int, epochs: int, learning_rate: float,
    clip: float, beta: float, detailed: bool = False, replay: bool = False,
) -> Step:  # fmt: skip
    """Train every weight: one optimizer step a call on `samples` answers to each of `prompts` sums, work counted in tokens.

    There are `steps // epochs` different batches. The answers were sampled by the untrained model, on the host; they and their rewards
    are inputs. It is the old policy and the reference, and its log-probabilities are computed here, on the device. `replay` as in `sft`.
    Outputs and the loop itself: see `grpo_loss` and `loop.train`; details: the rewards. Raises AssayError: model not to be loaded, or with
    dropout.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    host = sampled_batches(language_model, inputs.seed, prompts, samples, new_tokens, steps // epochs)
    targets = [document["target"] for document in documents("arithmetic", prompts * len(host)) for _ in range(samples)]
    texts = [text for batch in host for text in decoded(language_model.tokenizer, batch)]
    rewards = torch.tensor([reward(text, target) for text, target in zip(texts, targets, strict=True)]).view(len(host), -1)
    batches = given(inputs, [{**batch, "rewards": rewarded} for batch, rewarded in zip(host, rewards, strict=True)])
    if replay:
        batches = with_selections(inputs, language_model.module, logprobs_of, batches)
    module = place(inputs, language_model.module, torch.float32)
    with torch.no_grad(), arithmetic(inputs, mixed=True):
        batches = [prepared(module, batch, samples) for batch in batches]
    tokens = prompts * samples * (host[0]["prompts"].shape[1] + new_tokens)
    objective = Objective(grpo_loss(clip, beta), tokens, first=first)
    step = train(inputs, module, batches, objective, learning_rate=learning_rate, detailed=detailed)
    facts = {"rewards": rewards.tolist(), "completions": texts}
    return replace(step, details=lambda: {**(step.details() if step.details else {}), **facts})


def decoded(tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[str]:
    """Return the text of each completion up to the end of text."""
    rows = zip(batch["tokens"], batch["mask"], strict=True)
    return [str(tokenizer.decode(tokens[mask].tolist(), skip_special_tokens=True)) for tokens, mask in rows]


def logprobs_of(model: nn.Module, batch: Batch) -> Tensor:
    """Return `completion_logprobs` of a batch's completions, [rows, new]."""
    with replaying(batch):
        return completion_logprobs(model, batch["prompts"], batch["tokens"])


def prepared(model: nn.Module, batch: Batch, samples: int) -> Batch:
    """Return the batch with `advantages` [rows], and the log-probabilities `old` and `reference` [rows, new] by the model as it is now."""
    logprobs = logprobs_of(model, batch)
    return {**batch, "advantages": group_advantages(batch["rewards"], samples), "old": logprobs, "reference": logprobs}


def grpo_loss(clip: float, beta: float) -> Callable[[nn.Module, Batch], Mapping[str, Tensor]]:
    """Return an objective's `loss` for batches that were `prepared` (DeepSeekMath, equation 3, with its sign turned).

    Per token -min(r A, clip(r, 1 - clip, 1 + clip) A) + beta k3(reference), the mean over a completion's tokens, then over completions.
    With it go `kl` (k3 to the reference, nats), `ratio` (r = pi / pi_old), and `clip_share` (of tokens without a gradient), means alike.
    """

    def loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        logprobs, mask = logprobs_of(model, batch), batch["mask"]
        policy = clipped_ratio(logprobs, batch["old"], batch["advantages"], clip)
        kl = masked_mean(k3(batch["reference"], logprobs), mask)
        return {
            "loss": masked_mean(policy.loss, mask) + beta * kl, "kl": kl, "ratio": masked_mean(policy.ratio, mask),
            "clip_share": masked_mean(policy.clipped.to(kl.dtype), mask),
        }  # fmt: skip

    return loss


def first(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Return the completions' `logprobs` [rows, new] and `advantages` [rows]."""
    return {"logprobs": logprobs_of(model, batch), "advantages": batch["advantages"]}


# The share of clipped tokens is shown and not judged: it counts, so a ratio beside the clip moves it by whole tokens.
CHECKS = promised(("kl", "ratio"))

_COMMON: dict[str, Scalar] = {"epochs": 4, "clip": 0.2, "beta": 0.04}
_TINY: dict[str, Scalar] = {**_COMMON, "prompts": 2, "samples": 4, "new_tokens": 12, "steps": 8, "learning_rate": 2e-4, "detailed": True}
_DEFAULT: dict[str, Scalar] = {
    **_COMMON, "model": "default", "prompts": 2, "samples": 4, "new_tokens": 5, "steps": 4, "learning_rate": 1e-6,
}  # fmt: skip

# A token that is clipped has no gradient: the clip is a choice. With the roundoff of bfloat16 some token in a hundred is so near to it that
# it is clipped on one device only, which moves the gradient norm ten times as far as all rounding does. So bfloat16 is compared without a
# clip; float32 has it.
_NO_CLIP = 1e3


def _tiny() -> Iterable[Case]:
    for case in on_tiny_families("grpo", grpo, (Closeness(only=("first/*",)), *CHECKS), _TINY, replays=True):
        yield case if case.dtype == "float32" else replace(case, params={**case.params, "clip": _NO_CLIP}, golden_of=None)


CASES = (
    Case(
        "post_training/grpo[float32]",
        "post_training",
        grpo,
        "float32",
        CHECKS,
        _DEFAULT,
        rounds=4,
        fresh=True,
        timeout=900,
        band=1,
        wide=True,
    ),
    *_tiny(),
)
