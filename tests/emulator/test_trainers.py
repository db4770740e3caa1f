"""TRL's trainers on the emulated NPU, which accelerate chooses by itself: every step's loss and gradient norm are those of the CPU."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import Trainer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from tests.emulator.reached import reached
from tests.emulator.tiny_models import model
from tests.emulator.tiny_text import SENTENCES, tokenizer

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # TRL 1.16 reads it
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning"),  # torch_npu's fused optimizers use it
]

Maker = Callable[..., Trainer]
STARTS = [text.split()[0] for text in SENTENCES]
ENDS = [text[len(start) :] for text, start in zip(SENTENCES, STARTS, strict=True)]
# without a device map: TRL's own, "auto", splits the models over all NPUs of the machine, and its losses then mix devices
COMMON: dict[str, Any] = {
    "max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "logging_steps": 1, "disable_tqdm": True, "report_to": "none",
    "save_strategy": "no", "bf16": False, "activation_checkpointing": False, "dataloader_pin_memory": False, "seed": 42, "data_seed": 42,
    "model_init_kwargs": {"device_map": None},
}  # fmt: skip


def saved(folder: Path) -> str:
    """Save the model; the trainers load it, DPO and GRPO twice: as what is trained and as the reference."""
    model("qwen3", vocabulary=len(tokenizer())).save_pretrained(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_HUB_OFFLINE=1 would, had it been set before the first import."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def sft(folder: Path, **options: Any) -> Trainer:
    data = Dataset.from_dict({"text": list(SENTENCES)})
    return SFTTrainer(saved(folder), SFTConfig(str(folder), max_length=32, **options), train_dataset=data, processing_class=tokenizer())


def dpo(folder: Path, **options: Any) -> Trainer:
    data = Dataset.from_dict({"prompt": STARTS, "chosen": ENDS, "rejected": [text[::-1] for text in ENDS]})
    return DPOTrainer(
        saved(folder), args=DPOConfig(str(folder), max_length=32, **options), train_dataset=data, processing_class=tokenizer()
    )


def variety(completions: list[str], **_: Any) -> list[float]:
    return [float(len(set(text))) for text in completions]


def grpo(folder: Path, **options: Any) -> Trainer:
    arguments = GRPOConfig(str(folder), max_completion_length=8, num_generations=4, beta=0.04, **options)
    data = Dataset.from_dict({"prompt": STARTS})
    return GRPOTrainer(saved(folder), variety, args=arguments, train_dataset=data, processing_class=tokenizer())


def drawn_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both devices sample the same tokens, for each has a random generator of its own kind."""
    multinomial = torch.multinomial

    def draw(probabilities: Tensor, *arguments: Any, **options: Any) -> Tensor:
        return multinomial(probabilities.cpu(), *arguments, **options).to(probabilities.device)

    monkeypatch.setattr(torch, "multinomial", draw)


def trained(make: Maker, folder: Path, **options: Any) -> list[dict[str, float]]:
    """Train two steps; return what was logged of each."""
    trainer = make(folder, **{**COMMON, **options})
    assert trainer.accelerator.device.type == ("cpu" if options.get("use_cpu") else "npu")
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == 2
    assert all(math.isfinite(entry["loss"]) and entry["grad_norm"] > 0 for entry in logged)
    return logged


def close(found: list[dict[str, float]], expected: list[dict[str, float]], relative: float, absolute: float) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"step_time"}:
            assert one[name] == pytest.approx(other[name], rel=relative, abs=absolute), name


@pytest.mark.parametrize("make", [sft, dpo, grpo])
def test_steps_are_those_of_the_cpu(make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_on_the_host(monkeypatch)
    expected = trained(make, tmp_path / "cpu", use_cpu=True)
    with reached() as calls:
        found = trained(make, tmp_path / "npu")
    close(found, expected, 1e-5, 1e-7)  # 3.2e-6 was measured, of DPO's rewards, which are differences
    assert "aclnnFlashAttentionScore" in calls


def test_defaults_of_trl(tmp_path: Path) -> None:
    """bfloat16 autocast and recomputed activations; SDPA rounds elsewhere on the NPU: 2.7e-4 of the gradient's norm was measured."""
    defaults = {"bf16": True, "activation_checkpointing": True}
    expected = trained(sft, tmp_path / "cpu", use_cpu=True, **defaults)
    with reached():
        found = trained(sft, tmp_path / "npu", **defaults)
    close(found, expected, 1e-3, 1e-7)


@pytest.mark.parametrize("optimizer", ["adamw_torch_fused", "adamw_torch_npu_fused"])
def test_optimizers_by_name(optimizer: str, tmp_path: Path) -> None:
    expected = trained(sft, tmp_path / "cpu", use_cpu=True)
    with reached():
        found = trained(sft, tmp_path / "npu", optim=optimizer)
    close(found, expected, 1e-6, 1e-7)


def test_sampling_on_the_device_is_repeatable(tmp_path: Path) -> None:
    with reached() as calls:
        runs = [trained(grpo, tmp_path / name) for name in ("one", "two")]
    assert "aclnnMultinomial" in calls
    close(*runs, 0.0, 0.0)
