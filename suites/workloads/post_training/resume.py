"""A run that is stopped, saved, loaded into fresh objects and goes on, beside one that is not stopped. Knows no device.

Both take the same steps one after the other, so what differs before the checkpoint is a device that does not repeat itself, and what
differs after it is something that the checkpoint has not brought back. No reference is needed: the bits have to be the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from harness.case import Promise, Scalar, Step
from harness.checks.same_bits import SameBits
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.model import arithmetic, place, refuse_dropout
from suites.workloads.post_training.checkpoint import restore, save
from suites.workloads.post_training.loop import Batch
from suites.workloads.post_training.optimizers import OPTIMIZERS
from suites.workloads.post_training.promises import on_tiny_families
from suites.workloads.post_training.sft import next_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MAX_NORM = 1.0


class Run:
    """A model and its optimizer, and how many steps they have taken."""

    def __init__(self, model: PreTrainedModel, optimizer: Optimizer) -> None:
        self.model, self.optimizer, self.steps = model.train(), optimizer, 0

    def step(self, inputs: Inputs, batch: Batch) -> dict[str, Tensor]:
        """Take a step of fine-tuning; return its loss and gradient norm."""
        self.optimizer.zero_grad()
        with arithmetic(inputs, mixed=True):
            loss = next_token(self.model, batch)["loss"]
        torch.autograd.backward(loss)
        norm = clip_grad_norm_(self.model.parameters(), _MAX_NORM, foreach=False)
        self.optimizer.step()
        self.steps += 1
        return {"loss": loss.detach(), "grad_norm": norm.detach()}

    def state(self) -> dict[str, Tensor]:
        """Return the SHA-256 of each weight, uint8 [32], and of each tensor that the optimizer keeps of it."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        found = {f"weight/{name}": _digest(parameter) for parameter, name in names.items()}
        for parameter, kept in self.optimizer.state.items():
            found |= {f"{key}/{names[parameter]}": _digest(value) for key, value in kept.items() if isinstance(value, Tensor)}
        return found


def resume(
    inputs: Inputs, /, *, model: str, batch: int, length: int, steps: int, learning_rate: float, optimizer: str = "adamw",
) -> Step:  # fmt: skip
    """Take a step of either run a call; halfway through `steps` the second is saved, dropped, and loaded into fresh objects.

    Series `whole/loss`, `whole/grad_norm` and `resumed/...`; at the end `whole/weight/<parameter>`, `whole/<key>/<parameter>` of the
    optimizer's state and `resumed/...`, uint8 [32]: SHA-256 of the bits. `loaded/...` and `saved/...` are the same right after and before
    the checkpoint. Raises AssayError: model not to be loaded, or with dropout.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    batches = inputs.given("tokens", token_batches(language_model.tokenizer, batch, length, steps))

    def fresh(module: PreTrainedModel) -> Run:
        placed = place(inputs, module, torch.float32)
        return Run(placed, OPTIMIZERS[optimizer](dict(placed.named_parameters()), learning_rate))

    runs = {"whole": fresh(language_model.module), "resumed": fresh(load(model).module)}
    around: dict[str, Tensor] = {}

    def call() -> Mapping[str, Tensor]:
        if runs["resumed"].steps == steps // 2:
            around.update(_under("saved/", runs["resumed"].state()))
            runs["resumed"] = through_a_file(runs.pop("resumed"), lambda: fresh(load(model).module))
            around.update(_under("loaded/", runs["resumed"].state()))
        found: dict[str, Tensor] = {}
        for name, run in runs.items():
            found |= _under(f"{name}/", run.step(inputs, {"tokens": batches[run.steps % steps]}))
        return found

    def finish() -> Mapping[str, Tensor]:
        return {**around, **{key: value for name, run in runs.items() for key, value in _under(f"{name}/", run.state()).items()}}

    series = tuple(f"{name}/{value}" for name in runs for value in ("loss", "grad_norm"))
    return Step(call, work=2 * batch * length, unit="tokens", series=series, finish=finish)


def through_a_file(run: Run, fresh: Callable[[], Run]) -> Run:
    """Save a run in a folder of its own, and return a fresh one that was given what the file holds."""
    with TemporaryDirectory(prefix="assay-checkpoint-") as folder:
        path = Path(folder) / "checkpoint.safetensors"
        save(path, run.model, run.optimizer, run.steps)
        loaded = fresh()
        loaded.steps = restore(path, loaded.model, loaded.optimizer)
    return loaded


def _digest(tensor: Tensor) -> Tensor:
    held = tensor.detach().cpu().contiguous().reshape(-1)
    return torch.frombuffer(bytearray(hashlib.sha256(memoryview(held.view(torch.uint8).numpy())).digest()), dtype=torch.uint8)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


CHECKS: tuple[Promise, ...] = (SameBits("loaded", "saved"), SameBits("resumed", "whole"))

_PARAMS: dict[str, Scalar] = {"batch": 2, "length": 64, "steps": 6, "learning_rate": 2e-3}
_LISTED = (
    *on_tiny_families("resume", resume, CHECKS, _PARAMS),
    *on_tiny_families("resume-muon", resume, CHECKS, {**_PARAMS, "optimizer": "muon"}, families=("deepseek_v4-flash", "deepseek_v4-pro")),
)

CASES = tuple(replace(case, golden=False, golden_of=None) for case in _LISTED)
