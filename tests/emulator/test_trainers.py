"""TRL's trainers on the emulated NPU, which accelerate chooses by itself: every step's loss and gradient norm are those of the CPU."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, Trainer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from tests.emulator.reached import reached
from tests.emulator.tiny_models import model
from tests.emulator.tiny_text import SENTENCES, tokenizer

# TRL 1.16 reads a name that transformers 5.23 has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

STARTS = [text.split()[0] for text in SENTENCES]
ENDS = [text[len(start) :] for text, start in zip(SENTENCES, STARTS, strict=True)]
COMMON: dict[str, Any] = {
    "max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "logging_steps": 1, "disable_tqdm": True, "report_to": "none",
    "save_strategy": "no", "bf16": False, "activation_checkpointing": False, "dataloader_pin_memory": False, "seed": 42, "data_seed": 42,
}  # fmt: skip


def saved(folder: Path) -> PreTrainedModel:
    """A model that lies on the disk, where the trainers load their reference from."""
    model("qwen3", vocabulary=len(tokenizer())).save_pretrained(folder)
    found: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder)
    return found


def sft(folder: Path, **options: Any) -> Trainer:
    data = Dataset.from_dict({"text": list(SENTENCES)})
    return SFTTrainer(saved(folder), SFTConfig(str(folder), max_length=32, **options), train_dataset=data, processing_class=tokenizer())


def dpo(folder: Path, **options: Any) -> Trainer:
    data = Dataset.from_dict({"prompt": STARTS, "chosen": ENDS, "rejected": [text[::-1] for text in ENDS]})
    return DPOTrainer(saved(folder), args=DPOConfig(str(folder), max_length=32, **options), train_dataset=data, processing_class=tokenizer())


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


def trained(make: Any, folder: Path, **options: Any) -> list[dict[str, float]]:
    """Train two steps; return what was logged of each."""
    trainer = make(folder, **COMMON, **options)
    assert trainer.accelerator.device.type == ("cpu" if options else "npu")
    trainer.train()
    return [entry for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("make", [sft, dpo, grpo])
def test_trainer(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_on_the_host(monkeypatch)
    expected = trained(make, tmp_path / "cpu", use_cpu=True)
    with reached() as calls:
        found = trained(make, tmp_path / "npu")
    print(make, expected, found)
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        assert math.isfinite(one["loss"])
