"""Four stages through TRL's trainers, as many users run them: a second way in beside our loops. Knows no device; only it imports trl.

Each case is one call of `Trainer.train()`. What it logs is followed; the golden is the same trainer in float64. Of rollouts two things are
ours, because all devices must be asked for the same: prompts have one length (TRL pads them on the left, to which DeepSeek-V4 is not
invariant), and TRL's own generation takes its chance from noise that is drawn on the host (`rollout.gumbel`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.case import Case, Scalar, Step
from harness.checks.exact import Exact
from harness.checks.parameters import Parameters
from harness.checks.special_values import SpecialValues
from harness.checks.trajectory import Trajectory
from harness.errors import AssayError
from harness.inputs import Inputs
from harness.sketch import sketch
from suites.assets.corpus import token_batches
from suites.assets.language_model import LanguageModel, load
from suites.assets.preferences import preferences
from suites.assets.tasks import documents
from suites.workloads.float64 import by_default
from suites.workloads.model import place, refuse_dropout
from suites.workloads.post_training.accelerated import assert_placed, forget_device, forgetting_if_it_fails
from suites.workloads.post_training.completions import padding_of
from suites.workloads.post_training.distillation import moved
from suites.workloads.post_training.promises import on_tiny_families
from suites.workloads.post_training.rollout import gumbel, prompt_tokens, vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_FOLLOWED = ("loss", "grad_norm")
_FAMILIES = ("llama", "qwen3", "qwen3_moe", "deepseek_v3", "deepseek_v4-flash")


def trl_sft(inputs: Inputs, /, *, model: str, batch: int, length: int, steps: int, learning_rate: float) -> Step:
    """Fine-tune on the text of our own SFT: `batch` rows of `length` tokens a step, no padding. Outputs: see `_training`."""
    trl, language_model = _library(), _loaded(model)
    tokens = token_batches(language_model.tokenizer, batch, length, steps)
    inputs.given("tokens", tokens)
    rows = tokens.flatten(0, 1).tolist()
    data = {"input_ids": rows, "labels": rows}

    def trainer(module: PreTrainedModel, arguments: Mapping[str, Any]) -> Any:
        config = trl.SFTConfig(**arguments, max_length=length, per_device_train_batch_size=batch)
        return trl.SFTTrainer(module, config, train_dataset=_dataset(data), processing_class=language_model.tokenizer)

    return _training(inputs, language_model, trainer, steps, learning_rate, tokens.numel())


def trl_dpo(inputs: Inputs, /, *, model: str, pairs: int, length: int, steps: int, learning_rate: float, beta: float) -> Step:
    """Optimize preferences of real text directly: `pairs` a step, each row at most `length` tokens. Outputs: see `_training`."""
    trl, language_model = _library(), _loaded(model)
    data = preference_texts(language_model.tokenizer, pairs * steps, length - 1)
    inputs.told("preferences", json.dumps(data))

    def trainer(module: PreTrainedModel, arguments: Mapping[str, Any]) -> Any:
        config = trl.DPOConfig(**arguments, **_reference(inputs), beta=beta, max_length=length, per_device_train_batch_size=pairs)
        return trl.DPOTrainer(module, None, config, train_dataset=_dataset(data), processing_class=language_model.tokenizer)

    return _training(inputs, language_model, trainer, steps, learning_rate, 2 * pairs * length * steps)


def trl_grpo(
    inputs: Inputs, /, *, model: str, prompts: int, samples: int, completion: int, steps: int, reused: int,
    learning_rate: float, beta: float,
) -> Step:  # fmt: skip
    """Sample `samples` completions of each of `prompts` prompts, take `reused` steps on them (GRPO), and so on. Outputs: see `_training`.

    A completion's reward is the share of its tokens that are even. `beta` weighs the divergence from the untrained model.
    """
    trl, language_model = _library(), _loaded(model)
    data = _prompts(inputs, prompts * (steps // reused))
    rollouts = _Rollouts(inputs, language_model, data["prompt"], prompts * samples, completion, steps // reused)

    def trainer(module: PreTrainedModel, arguments: Mapping[str, Any]) -> Any:
        config = trl.GRPOConfig(
            **arguments, **_reference(inputs), **_sampled(completion), beta=beta, num_generations=samples, num_iterations=reused,
            per_device_train_batch_size=prompts * samples, gradient_accumulation_steps=1,
        )  # fmt: skip
        rollouts.through(module)
        return trl.GRPOTrainer(module, even, config, train_dataset=_dataset(data), processing_class=language_model.tokenizer)

    return _training(inputs, language_model, trainer, steps, learning_rate, prompts * samples * completion * steps, rollouts)


def trl_distillation(
    inputs: Inputs, /, *, model: str, prompts: int, completion: int, steps: int, learning_rate: float, spread: float
) -> Step:
    """Distil on policy: completions of `prompts` prompts a step by the student, reverse KL to the teacher. Outputs: see `_training`.

    The teacher is the student `moved` by `spread`.
    """
    trl, language_model = _library(), _loaded(model)
    data = _prompts(inputs, prompts * steps)
    rollouts = _Rollouts(inputs, language_model, data["prompt"], prompts, completion, steps)
    teacher = _teacher(inputs, language_model.module, spread)

    def trainer(module: PreTrainedModel, arguments: Mapping[str, Any]) -> Any:
        config = trl.DistillationConfig(**arguments, **_sampled(completion), beta=1.0, per_device_train_batch_size=prompts)
        rollouts.through(module)
        return trl.DistillationTrainer(module, teacher, config, train_dataset=_dataset(data), processing_class=language_model.tokenizer)

    return _training(inputs, language_model, trainer, steps, learning_rate, prompts * completion * steps, rollouts)


def even(completion_ids: Sequence[Sequence[int]], **_: object) -> list[float]:
    """Return for each completion the share of its token ids that are even: a reward that every device computes alike."""
    return [sum(token % 2 == 0 for token in tokens) / max(len(tokens), 1) for tokens in completion_ids]


def preference_texts(tokenizer: PreTrainedTokenizerBase, count: int, length: int) -> dict[str, list[str]]:
    """Return `count` of our preferences of at most `length` tokens as texts: prompt, chosen and rejected; only those that are ASCII."""
    parts = [(p.prompt, p.chosen, p.rejected) for p in preferences(tokenizer, 2 * count, length)]
    texts = [three for part in parts if all(three := [str(tokenizer.decode(list(tokens))) for tokens in part]) and "".join(three).isascii()]
    if len(texts) < count:
        raise AssayError(f"{count} preferences in ASCII asked for, there are {len(texts)}; ask for fewer")
    return {name: [three[i] for three in texts[:count]] for i, name in enumerate(("prompt", "chosen", "rejected"))}


class _Rollouts:
    """What generation samples with and what came of it: noise float32 [rollouts, completion, rows, vocabulary], tokens int64."""

    def __init__(self, inputs: Inputs, language_model: LanguageModel, texts: Sequence[str], rows: int, completion: int, count: int) -> None:
        tokenizer, model = language_model.tokenizer, language_model.module
        self._prompt, self._completion, self._padding = prompt_tokens(tokenizer, texts).shape[1], completion, padding_of(tokenizer)
        self._noise = inputs.given("noise", gumbel(inputs.seed, "noise", (count, completion, rows, vocabulary(model))))
        self._found: list[Tensor] = []

    def through(self, model: nn.Module) -> None:
        """Let `model.generate` sample with the next noise, and keep what it returns."""
        generate: Callable[..., Tensor] = model.generate  # type: ignore[assignment]  # nn.Module's attributes have no types
        from transformers import LogitsProcessorList

        def sampled(*args: Any, **kwargs: Any) -> Tensor:
            noise = _Noise(self._noise[len(self._found)], self._prompt)
            found = generate(*args, **kwargs, logits_processor=LogitsProcessorList([noise]))
            completions = found[:, self._prompt :]
            self._found.append(nn.functional.pad(completions, (0, self._completion - completions.shape[1]), value=self._padding))
            return found

        model.generate = sampled  # type: ignore[assignment]  # as above

    def outputs(self) -> Mapping[str, Tensor]:
        """Return `completions` int64 [rollouts, rows, completion], padded."""
        return {"completions": torch.stack(self._found)}


class _Noise:
    """A logits processor: add noise [completion, rows, vocabulary], that of the position which comes next, to the scores."""

    def __init__(self, noise: Tensor, prompt: int) -> None:
        self._noise, self._prompt = noise, prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores + self._noise[input_ids.shape[1] - self._prompt]


def _library() -> Any:
    try:
        import trl  # here, because trl is an extra
    except ImportError as error:
        raise AssayError(f"the stages through TRL need it ({error}); run: pip install 'ascend-assay[post]'") from error
    return trl


def _dataset(columns: Mapping[str, list[Any]]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(dict(columns))


def _prompts(inputs: Inputs, count: int) -> dict[str, list[str]]:
    texts = [document["prompt"] for document in documents("arithmetic", count)]
    inputs.told("prompts", "\n\n".join(texts))
    return {"prompt": texts}


def _teacher(inputs: Inputs, module: PreTrainedModel, spread: float) -> nn.Module:
    teacher = moved(inputs.seed, module, "teacher", spread)
    if inputs.golden and hasattr(teacher, "set_experts_implementation"):
        teacher.set_experts_implementation("eager")  # as in `place`
    return inputs.module("teacher", teacher, torch.float32)


def _loaded(model: str) -> LanguageModel:
    found = load(model)
    refuse_dropout(found.module, found.name)
    config = found.module.config
    if hasattr(config, "n_routed_experts") and not hasattr(config, "num_experts"):
        config.num_experts = config.n_routed_experts  # TRL asks every mixture of experts for the former
    return found


def _reference(inputs: Inputs) -> dict[str, Any]:
    """Return the argument of stages that read a reference model from its folder.

    Without a device map TRL asks for "auto", which may put it on another device of this machine than the model; the trainer places both.
    """
    eager = {"experts_implementation": "eager"} if inputs.golden else {}  # as in `place`: PyTorch multiplies no groups of float64 matrices
    return {"model_init_kwargs": {"device_map": None, **eager}}


def _sampled(completion: int) -> dict[str, Any]:
    """Return the arguments of stages that generate: no draw of the device's own, and a temperature of 1."""
    return {
        "max_completion_length": completion,
        "temperature": 1.0,
        "shuffle_dataset": False,
        "generation_kwargs": {"do_sample": False, "top_k": None},
    }


def _training(
    inputs: Inputs, language_model: LanguageModel, make: Callable[[PreTrainedModel, Mapping[str, Any]], Any], steps: int,
    learning_rate: float, work: int, rollouts: _Rollouts | None = None,
) -> Step:  # fmt: skip
    """Return a Step whose one call trains to the end, in float32 (float64 for the golden).

    Outputs: `loss` and `grad_norm` [steps], as the trainer logged them, `update/<parameter>` sketches, and `completions`
    where there are rollouts. Raises AssayError: trl missing, model not to be loaded or with dropout, training elsewhere than on the device.
    """
    from transformers import PrinterCallback

    module = place(inputs, language_model.module, torch.float32)
    initial = {name: sketch(parameter, name) for name, parameter in module.named_parameters()}
    dtype, context = (torch.float64, by_default) if inputs.golden else (torch.float32, nullcontext)
    with tempfile.TemporaryDirectory() as folder, context(), forgetting_if_it_fails():
        module.save_pretrained(folder)
        module.config._name_or_path = folder  # DPO and GRPO read their reference from there
        trainer = make(module, _arguments(inputs, folder, steps, learning_rate))
        trainer.remove_callback(PrinterCallback)
        assert_placed(trainer, inputs.device)

    def call() -> Mapping[str, Tensor]:
        with context(), forgetting_if_it_fails():
            trainer.train()
            assert_placed(trainer, inputs.device)
        return {}

    def finish() -> Mapping[str, Tensor]:
        forget_device()
        logs = [entry for entry in trainer.state.log_history if "loss" in entry]
        if len(logs) != steps:
            raise AssayError(f"TRL logged {len(logs)} losses in {steps} steps; check its version")
        series = {name: torch.tensor([float(entry[name]) for entry in logs], dtype=dtype) for name in _FOLLOWED}
        updates = {f"update/{name}": sketch(p, name) - initial[name] for name, p in module.named_parameters()}
        return {**series, **updates, **(rollouts.outputs() if rollouts else {})}

    return Step(call, work=work, unit="tokens", series=_FOLLOWED, finish=finish)


def _arguments(inputs: Inputs, folder: str, steps: int, learning_rate: float) -> dict[str, Any]:
    """Return what all stages set: float32, no recomputation, a constant rate, rows in their order, a log a step, nothing written."""
    return {
        "output_dir": folder, "use_cpu": inputs.device.type == "cpu", "bf16": False, "activation_checkpointing": False, "max_steps": steps,
        "learning_rate": learning_rate, "lr_scheduler_type": "constant", "optim": "adamw_torch", "weight_decay": 0.1, "logging_steps": 1,
        "train_sampling_strategy": "sequential", "report_to": "none", "save_strategy": "no", "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }  # fmt: skip


_CHECKS = (SpecialValues(only=_FOLLOWED), Trajectory(series=_FOLLOWED), Parameters(prefix="update/"))


def _cases(stage: str, workload: Callable[..., Step], params: Mapping[str, Scalar], generates: bool = False) -> tuple[Case, ...]:
    checks = (*_CHECKS, *((Exact(only=("completions",)),) if generates else ()))
    made = on_tiny_families(f"trl-{stage}", workload, checks, params, families=_FAMILIES)
    return tuple(replace(case, rounds=1) for case in made if case.dtype == "float32")


_SAMPLED: dict[str, Scalar] = {"prompts": 2, "completion": 12, "steps": 4, "learning_rate": 1e-3}

CASES = (
    *_cases("sft", trl_sft, {"batch": 2, "length": 64, "steps": 8, "learning_rate": 2e-3}),
    *_cases("dpo", trl_dpo, {"pairs": 2, "length": 64, "steps": 4, "learning_rate": 1e-3, "beta": 0.1}),
    *_cases("grpo", trl_grpo, {**_SAMPLED, "samples": 4, "reused": 2, "beta": 0.04}, generates=True),
    *_cases("distillation", trl_distillation, {**_SAMPLED, "spread": 0.5}, generates=True),
)  # fmt: skip
