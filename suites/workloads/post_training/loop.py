"""The loop that every stage shares: one optimizer step a call, everything followed that a comparison needs. Knows no stage.

A stage says what it minimizes (`Objective`); the loop takes the steps and tells what happened in them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from harness.case import Step
from harness.inputs import Inputs
from harness.sketch import sketch
from suites.workloads.model import arithmetic
from suites.workloads.post_training.optimizers import OPTIMIZERS

_MAX_NORM = 1.0

#: One step's data, by name, on the device.
Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """What a stage minimizes.

    `loss(model, batch)` returns "loss", a scalar that is differentiated, and further scalars that are followed from step to step (a
    margin, a divergence, a share of right answers); it is called within the case's arithmetic. `first(model, batch)` returns what is
    compared of the untrained model on the first batch as it is: logits, log-probabilities. `tokens` is what a batch costs.
    """

    loss: Callable[[nn.Module, Batch], Mapping[str, Tensor]]
    tokens: int
    first: Callable[[nn.Module, Batch], Mapping[str, Tensor]] | None = None


def train(
    inputs: Inputs, model: nn.Module, batches: Sequence[Batch], objective: Objective, *, learning_rate: float,
    optimizer: str = "adamw", held_out: Sequence[Batch] = (), sketches: bool = True, detailed: bool = False,
) -> Step:  # fmt: skip
    """Return a Step whose call is one optimizer step on the next of `batches`; they repeat.

    What requires a gradient is trained: float32 weights, and for a bfloat16 case autocast in the forward pass, because
    bfloat16 weights lose updates that are smaller than their last digit. The gradient norm is clipped at 1. `optimizer` is a key of
    `optimizers.OPTIMIZERS`. Each call returns the objective's scalars and `grad_norm` (before clipping). With `sketches`, the outputs
    `grad/<parameter>` (on batch 0, before the first step, unclipped) and `update/<parameter>` (last minus initial weight) are
    float64 sketches. With `detailed` each call also returns `grad_norms` and `update_norms` [parameters], in the order of
    `details["parameters"]`, and `update_norm` over all of them, and `first/<name>` is what the objective's `first` gives before the first
    step. `held_out_loss` is the mean loss over `held_out` before the first and after the last step, [2].
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizing = OPTIMIZERS[optimizer](trained, learning_rate)
    training = Training(inputs, model.train(), objective, trained, optimizing, cycle(batches), detailed)

    first = training.first(batches[0]) if detailed else {}
    untrained = [training.held_out_loss(held_out)] if held_out else []
    initial = training.weights() if sketches else {}
    scalars = tuple(training.backward(batches[0]) if sketches else training.losses(batches[0]))
    gradients = training.gradients() if sketches else {}

    def finish() -> Mapping[str, Tensor]:
        # a sketch is linear, so that no copy of the initial weights is needed; in float64 the difference of two loses nothing that shows
        updates = {name: last - initial[name] for name, last in training.weights().items()} if sketches else {}
        told = {"held_out_loss": torch.stack([*untrained, training.held_out_loss(held_out)])} if held_out else {}
        return {**first, **_under("grad/", gradients), **_under("update/", updates), **told}

    series = (*scalars, "grad_norm", *(("grad_norms", "update_norms", "update_norm") if detailed else ()))
    details = {"parameters": list(trained)} if detailed else {}
    return Step(training.step, work=objective.tokens, unit="tokens", series=series, finish=finish, details=lambda: details)


@dataclass(frozen=True)
class Training:
    """A model in training mode: the parameters of it that are `trained`, and the optimizer that steps them on the `upcoming` batches."""

    inputs: Inputs
    model: nn.Module
    objective: Objective
    trained: Mapping[str, nn.Parameter]
    optimizer: Optimizer
    upcoming: Iterator[Batch]
    detailed: bool

    def step(self) -> Mapping[str, Tensor]:
        """Take a step; return the objective's scalars and `grad_norm`, and in detail the norms of each gradient and of the update."""
        self.optimizer.zero_grad()
        found = self.backward(next(self.upcoming))
        norms = {"grad_norms": _norms(p.grad for p in self.trained.values())} if self.detailed else {}
        norm = clip_grad_norm_(self.trained.values(), _MAX_NORM, foreach=False)
        before = [p.detach().clone() for p in self.trained.values()] if self.detailed else []
        self.optimizer.step()
        if self.detailed:
            norms["update_norms"] = _norms(p.detach() - old for p, old in zip(self.trained.values(), before, strict=True))
            norms["update_norm"] = torch.linalg.vector_norm(norms["update_norms"])
        return {**found, "grad_norm": norm.detach(), **norms}

    def backward(self, batch: Batch) -> Mapping[str, Tensor]:
        """Add the gradient of the loss to the parameters'; return the objective's scalars."""
        found = self.losses(batch)
        torch.autograd.backward(found["loss"])
        return {name: value.detach() for name, value in found.items()}

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the objective's scalars, which remember how they were computed."""
        with arithmetic(self.inputs, mixed=True):
            return self.objective.loss(self.model, batch)

    @torch.no_grad()
    def first(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return `first/<name>` of the model as it is; nothing where the objective does not say what."""
        with arithmetic(self.inputs, mixed=True):
            return _under("first/", self.objective.first(self.model, batch)) if self.objective.first else {}

    @torch.no_grad()
    def held_out_loss(self, batches: Sequence[Batch]) -> Tensor:
        """Return the mean loss of the model as it is, in evaluation mode, a scalar."""
        self.model.eval()
        found = torch.stack([self.losses(batch)["loss"] for batch in batches]).mean()
        self.model.train()
        return found

    def weights(self) -> dict[str, Tensor]:
        """Return a sketch of each trained parameter as it is."""
        return {name: sketch(parameter, name) for name, parameter in self.trained.items()}

    def gradients(self) -> dict[str, Tensor]:
        """Return a sketch of each gradient, zero where there is none, and let go of the gradients."""
        found = {name: sketch(torch.zeros_like(p) if p.grad is None else p.grad, name) for name, p in self.trained.items()}
        self.model.zero_grad(set_to_none=True)
        return found


def _norms(tensors: Iterable[Tensor | None]) -> Tensor:
    """Return the Euclidean norm of each tensor, in its own or float32, whichever is wider; zero where there is none."""
    found = [
        None if tensor is None else torch.linalg.vector_norm(tensor.float() if tensor.dtype != torch.float64 else tensor)
        for tensor in tensors
    ]
    blank = next((norm.new_zeros(()) for norm in found if norm is not None), torch.zeros(()))
    return torch.stack([blank if norm is None else norm for norm in found])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}
