"""Training that is meant to help: SFT, DPO and GRPO of the real model on sums, until it shows on sums it has not seen. Knows no device.

What is compared is the end: each held-out item's score before the first and after the last step. The steps between are the stages' own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.case import Case, Scalar, Step
from harness.checks.improvement import Improvement
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from suites.assets.arithmetic import sums
from suites.assets.language_model import LanguageModel, load
from suites.workloads.model import arithmetic, place, refuse_dropout
from suites.workloads.post_training.completions import given, logprobs, padded, padding_of, token_logprobs, with_reference
from suites.workloads.post_training.dpo import dpo_loss
from suites.workloads.post_training.grpo import grpo_loss
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.policy import group_advantages
from suites.workloads.post_training.rollout import gumbel, prompt_tokens, roll_out, until_end, vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ROWS = 16  # held-out rows at a time


def real_sft(inputs: Inputs, /, *, model: str, batch: int, steps: int, held_out: int, learning_rate: float) -> Step:
    """Fine-tune on `batch` sums of two digits a step, the loss on the answer alone; a held-out item's score is log p(answer), in nats.

    Outputs: see `_measured` and `loop.train`. Raises AssayError: model not to be loaded, or with dropout; too few sums.
    """
    language_model = _loaded(model)
    lessons = sums(2, batch * steps + held_out)
    rows = _rows(language_model.tokenizer, [(s.prompt, s.answer) for s in lessons])
    batches = given(inputs, _split(rows, batch, steps))
    unseen = given(inputs, [_last(rows, held_out)], "held_out_")
    module = place(inputs, language_model.module, torch.float32)
    objective = Objective(answer_loss, tokens=rows["tokens"][:batch].numel())
    step = train(inputs, module, batches, objective, learning_rate=learning_rate, sketches=False)
    return _measured(step, lambda: _scored(inputs, module, unseen[0]))


def real_dpo(inputs: Inputs, /, *, model: str, pairs: int, steps: int, held_out: int, learning_rate: float, beta: float) -> Step:
    """Prefer right answers to wrong ones, `pairs` sums of two digits a step; a score is log p(right) - log p(wrong), in nats.

    Outputs: see `_measured` and `loop.train`. Raises AssayError: model not to be loaded, or with dropout; too few sums.
    """
    language_model = _loaded(model)
    lessons = sums(2, pairs * steps + held_out, example=True)
    right = _rows(language_model.tokenizer, [(s.prompt, s.answer) for s in lessons])
    wrong = _rows(language_model.tokenizer, [(s.prompt, s.wrong) for s in lessons])
    both = zip(_split(right, pairs, steps), _split(wrong, pairs, steps), strict=True)
    host = [{name: torch.cat([better[name], worse[name]]) for name in better} for better, worse in both]
    unseen = given(inputs, [_last(right, held_out), _last(wrong, held_out)], "held_out_")
    module = place(inputs, language_model.module, torch.float32)
    batches = with_reference(inputs, module, given(inputs, host))
    objective = Objective(dpo_loss(beta), tokens=host[0]["tokens"].numel())
    step = train(inputs, module, batches, objective, learning_rate=learning_rate, sketches=False)
    return _measured(step, lambda: _scored(inputs, module, unseen[0]) - _scored(inputs, module, unseen[1]))


def real_grpo(
    inputs: Inputs, /, *, model: str, prompts: int, samples: int, new_tokens: int, steps: int, lessons: int, learning_rate: float,
    clip: float,
) -> Step:  # fmt: skip
    """Reward right answers: each step the model of that moment samples `samples` answers to each of `prompts` sums of one digit.

    There are 100 such sums; it learns of `lessons`, over and over, and the others are held out. An answer is worth 1 if its line is
    the sum and nothing else, or else 0; so a held-out item's score, the probability of that line, is the reward to be expected. Outputs:
    see `_measured` and `loop.train`, and `reward`, the mean of a step. Raises AssayError: model not to be loaded, or with dropout.
    """
    language_model = _loaded(model)
    tokenizer = language_model.tokenizer
    known, unknown = sums(1, lessons, example=True), sums(1, 100 - lessons, lessons, example=True)
    order = [known[i % lessons] for i in range(prompts * steps)]
    asked = prompt_tokens(tokenizer, [s.prompt for s in order]).reshape(steps, prompts, -1).repeat_interleave(samples, 1)
    batches = given(inputs, [{"prompts": rows, "number": torch.tensor(i)} for i, rows in enumerate(asked)])
    unseen = given(inputs, [_rows(tokenizer, [(s.prompt, s.answer) for s in unknown])], "held_out_")
    module = place(inputs, language_model.module, torch.float32)
    inputs.told("noise", f"Gumbel noise of the seed {inputs.seed}, a stream a step")
    (line,) = tokenizer.encode("\n", add_special_tokens=False)
    shape = (prompts * samples, new_tokens, vocabulary(module))

    def sampled(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        number = int(batch["number"])
        noise = gumbel(inputs.seed, f"noise-{number}", shape).to(inputs.device)
        done = roll_out(model, batch["prompts"], noise)  # type: ignore[arg-type]  # the loop hands on the module that it was given
        answers = [s.answer for s in order[number * prompts : (number + 1) * prompts] for _ in range(samples)]
        texts = tokenizer.batch_decode(done.tokens.tolist())
        rewards = torch.tensor([worth(text, answer) for text, answer in zip(texts, answers, strict=True)], device=inputs.device)
        advantages = group_advantages(rewards, samples).to(done.logprobs.dtype)
        ours = {"tokens": done.tokens, "mask": until_end(done.tokens, line), "advantages": advantages}
        return {**batch, **ours, "rewards": rewards, "old": done.logprobs, "reference": done.logprobs}

    def loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        batch = sampled(model, batch)
        return {**grpo_loss(clip, 0.0)(model, batch), "reward": batch["rewards"].mean()}

    objective = Objective(loss, tokens=shape[0] * (asked.shape[-1] + new_tokens))
    step = train(inputs, module, batches, objective, learning_rate=learning_rate, sketches=False)
    return _measured(step, lambda: _scored(inputs, module, unseen[0]).exp())


def answer_loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Return `loss`: the mean cross-entropy of the completions' tokens in nats."""
    return {"loss": -token_logprobs(model, batch).sum() / batch["completion_mask"].sum()}


def worth(text: str, answer: str) -> float:
    """Return 1 where a completion begins with the answer, which ends its line, else 0."""
    return float(text.startswith(answer))


def _loaded(model: str) -> LanguageModel:
    found = load(model)
    refuse_dropout(found.module, found.name)
    return found


def _rows(tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, str]]) -> Mapping[str, Tensor]:
    pairs = [tuple(tokenizer.encode(text, add_special_tokens=False) for text in pair) for pair in texts]
    rows = [(prompt, completion) for prompt, completion in pairs]
    return padded(rows, max(len(prompt) + len(completion) for prompt, completion in rows), padding_of(tokenizer))


def _split(rows: Mapping[str, Tensor], size: int, count: int) -> list[Batch]:
    return [{name: tensor[i * size : (i + 1) * size] for name, tensor in rows.items()} for i in range(count)]


def _last(rows: Mapping[str, Tensor], count: int) -> Batch:
    return {name: tensor[-count:] for name, tensor in rows.items()}


def _scored(inputs: Inputs, model: nn.Module, batch: Batch) -> Tensor:
    """Return log p of each row's completion, in nats, float32 [rows]."""
    count = len(batch["tokens"])
    with torch.no_grad(), arithmetic(inputs, mixed=True):
        parts = [logprobs(model, {k: v[i : i + _ROWS] for k, v in batch.items()}) for i in range(0, count, _ROWS)]
    return torch.cat(parts)


def _measured(step: Step, score: Callable[[], Tensor]) -> Step:
    """Return the step, with `held_out` [2, items] among its last outputs: each item's score before the first and after the last call."""
    before = score()
    return replace(step, finish=lambda: {"held_out": torch.stack([before, score()])})


def _case(stage: str, workload: Callable[..., Step], unit: str, params: Mapping[str, Scalar]) -> Case:
    rounds = params["steps"]
    assert isinstance(rounds, int)
    checks = (SpecialValues(only=("loss", "held_out")), Improvement("held_out", unit))
    return Case(
        f"post_training/real-{stage}[float32]", "post_training", workload, "float32", checks, {"model": "default", **params},
        rounds=rounds, golden=False, fresh=True, timeout=7200, long=True,
    )  # fmt: skip


CASES = (
    _case("sft", real_sft, "nats", {"batch": 16, "steps": 60, "held_out": 100, "learning_rate": 5e-5}),
    _case("dpo", real_dpo, "nats", {"pairs": 6, "steps": 20, "held_out": 60, "learning_rate": 1e-5, "beta": 0.1}),
    _case("grpo", real_grpo, "of a right answer", {
        "prompts": 6, "samples": 4, "new_tokens": 4, "steps": 16, "lessons": 60, "learning_rate": 1e-5, "clip": 0.2,
    }),
)  # fmt: skip
