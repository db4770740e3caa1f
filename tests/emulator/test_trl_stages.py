"""The stages through TRL: the same losses as our own loops, on the device that is under test, and nowhere else.

They stand here because trl is installed with torch_npu only; `test_suites.py` runs each case on the emulated NPU.
"""

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from harness.errors import AssayError
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.families import byte_tokenizer, tiny_module
from suites.workloads.post_training import trl_stages
from suites.workloads.post_training.completions import padded, with_reference
from suites.workloads.post_training.dpo import dpo_loss
from suites.workloads.post_training.sft import next_token
from suites.workloads.post_training.trl_stages import preference_texts, trl_dpo, trl_grpo, trl_sft

SFT = {"batch": 2, "length": 32, "steps": 3, "learning_rate": 1e-3}
DPO = {"pairs": 2, "length": 48, "steps": 3, "learning_rate": 1e-3, "beta": 0.1}
GRPO = {"prompts": 2, "samples": 3, "completion": 6, "steps": 2, "reused": 2, "learning_rate": 1e-3, "beta": 0.04}

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # TRL 1.16 reads it
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning"),  # torch_npu's fused optimizers use it
]


def host(golden: bool = False) -> Inputs:
    return Inputs(0, torch.float32, lambda tensor: tensor, torch.device("cpu"), golden)


def done(step) -> dict[str, Tensor]:
    assert not step.call()
    return dict(step.finish())


def loop(model, batches, loss, learning_rate: float) -> tuple[Tensor, Tensor]:
    """The same training, written out: transformers' trainer lets biases and the scales of norms go without decay."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    free = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    losses, norms = [], []
    for batch in batches:
        optimizer.zero_grad()
        found = loss(model, batch)["loss"]
        found.backward()
        norms.append(clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
        losses.append(found.detach())
    return torch.stack(losses), torch.stack(norms)


@pytest.mark.parametrize("family", ["llama", "deepseek_v3"])
def test_sft_is_our_own(family: str) -> None:
    outputs = done(trl_sft(host(), model=f"tiny:{family}", **SFT))
    batches = [{"tokens": tokens} for tokens in token_batches(byte_tokenizer(), 2, 32, 3)]
    losses, norms = loop(tiny_module(f"tiny:{family}").train(), batches, next_token, 1e-3)
    torch.testing.assert_close(outputs["loss"], losses, rtol=1e-6, atol=0)
    torch.testing.assert_close(outputs["grad_norm"], norms, rtol=1e-5, atol=0)


def test_dpo_is_our_own() -> None:
    outputs = done(trl_dpo(host(), model="tiny:llama", **DPO))
    tokenizer, model = byte_tokenizer(), tiny_module("tiny:llama").train()
    texts = preference_texts(tokenizer, 6, 47)
    prompts, chosen, rejected = ([tokenizer.encode(text) for text in texts[name]] for name in ("prompt", "chosen", "rejected"))
    end = [tokenizer.eos_token_id]
    batches = [
        padded([(p, c + end) for side in (chosen, rejected) for p, c in zip(prompts[i : i + 2], side[i : i + 2], strict=True)], 48, 256)
        for i in (0, 2, 4)
    ]
    losses, norms = loop(model, with_reference(host(), model, batches), dpo_loss(0.1), 1e-3)
    torch.testing.assert_close(outputs["loss"], losses, rtol=1e-6, atol=0)
    torch.testing.assert_close(outputs["grad_norm"], norms, rtol=1e-4, atol=0)


def test_the_golden_is_float64_and_a_little_elsewhere() -> None:
    ours, golden = (done(trl_sft(host(exact), model="tiny:llama", **SFT)) for exact in (False, True))
    apart = ((ours["loss"] - golden["loss"]) / golden["loss"]).abs()
    assert 0 < apart.max() < 1e-6
    assert (golden["loss"] != golden["loss"].float().double()).all()  # nothing on the way was rounded to float32
    assert torch.get_default_dtype() is torch.float32


def test_grpo_rolls_out_again_after_its_steps_are_used_up() -> None:
    outputs = done(trl_grpo(host(), model="tiny:qwen3_moe", **{**GRPO, "steps": 4}))
    assert outputs["completions"].shape == (2, 6, 6)
    assert len({tuple(row.tolist()) for row in outputs["completions"][0]}) > 3  # samples, not one answer over and over
    assert outputs["loss"].shape == outputs["grad_norm"].shape == (4,)


def test_training_elsewhere_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = trl_stages._arguments

    def astray(*given) -> dict:
        return {**arguments(*given), "use_cpu": False}  # accelerate then takes the NPU by itself

    monkeypatch.setattr(trl_stages, "_arguments", astray)
    with pytest.raises(AssayError, match=r"TRL trains on (cpu, )?npu:0, not on cpu"):
        trl_sft(host(), model="tiny:llama", **SFT)


def test_what_runs_later_in_the_process_chooses_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    step = trl_sft(host(), model="tiny:llama", **SFT)
    assert AcceleratorState._shared_state or PartialState._shared_state
    done(step)
    assert not AcceleratorState._shared_state
    assert not PartialState._shared_state


def test_a_trainer_that_logs_too_little_is_noticed() -> None:
    step = trl_sft(host(), model="tiny:llama", **SFT)
    with pytest.raises(AssayError, match="logged 0 losses in 3 steps"):
        step.finish()
