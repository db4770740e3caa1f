"""The loop that every stage shares: one optimizer step a call, everything followed that a comparison needs. Knows no stage.

A stage says what it minimizes (`Objective`); the loop takes the steps and tells what happened in them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

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
    `details["parameters"]`, and `first/<name>` is what the objective's `first` gives before the first step. `held_out_loss` is the mean
    loss over `held_out` before the first and after the last step, [2].
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    stepping = OPTIMIZERS[optimizer](trained, learning_rate)
    model.train()
    upcoming = cycle(batches)

    def losses(batch: Batch) -> Mapping[str, Tensor]:
        with arithmetic(inputs, mixed=True):
            return objective.loss(model, batch)

    def backward(batch: Batch) -> Mapping[str, Tensor]:
        found = losses(batch)
        found["loss"].backward()  # type: ignore[no-untyped-call]
        return {name: value.detach() for name, value in found.items()}

    def step() -> Mapping[str, Tensor]:
        stepping.zero_grad()
        found = backward(next(upcoming))
        norms = {"grad_norms": _norms(p.grad for p in trained.values())} if detailed else {}
        norm = clip_grad_norm_(trained.values(), _MAX_NORM, foreach=False)
        before = [p.detach().clone() for p in trained.values()] if detailed else []
        stepping.step()
        if detailed:
            norms["update_norms"] = _norms(p.detach() - old for p, old in zip(trained.values(), before, strict=True))
        return {**found, "grad_norm": norm.detach(), **norms}

    @torch.no_grad()
    def held() -> list[Tensor]:
        model.train(False)
        found = [losses(batch)["loss"] for batch in held_out]
        model.train()
        return [torch.stack(found).mean()] if found else []

    first: dict[str, Tensor] = {}
    if detailed and objective.first:
        with torch.no_grad(), arithmetic(inputs, mixed=True):
            first = _under("first/", {name: value.detach() for name, value in objective.first(model, batches[0]).items()})
    untrained = held()
    gradients: dict[str, Tensor] = {}
    initial = _sketches(trained.items()) if sketches else {}
    scalars = tuple(backward(batches[0])) if sketches else tuple(losses(batches[0]))
    if sketches:
        gradients = _sketches((name, torch.zeros_like(p) if p.grad is None else p.grad) for name, p in trained.items())
        model.zero_grad(set_to_none=True)

    def finish() -> Mapping[str, Tensor]:
        # a sketch is linear, so that no copy of the initial weights is needed; in float64 the difference of two loses nothing that shows
        updates = {name: last - initial[name] for name, last in _sketches(trained.items()).items()} if sketches else {}
        told = {"held_out_loss": torch.stack([*untrained, *held()])} if held_out else {}
        return {**first, **_under("grad/", gradients), **_under("update/", updates), **told}

    series = (*scalars, "grad_norm", *(("grad_norms", "update_norms") if detailed else ()))
    details = {"parameters": list(trained)} if detailed else {}
    return Step(
        step, work=objective.tokens, unit="tokens", series=series, details=(lambda: details) if details else None,
        finish=finish if sketches or held_out or first else None,
    )  # fmt: skip


def _norms(tensors: Iterable[Tensor | None]) -> Tensor:
    """Return the Euclidean norm of each tensor, in its own or float32, whichever is wider; zero where there is none."""
    found = [
        None if tensor is None else torch.linalg.vector_norm(tensor.float() if tensor.dtype != torch.float64 else tensor)
        for tensor in tensors
    ]
    blank = next((norm.new_zeros(()) for norm in found if norm is not None), torch.zeros(()))
    return torch.stack([blank if norm is None else norm for norm in found])


def _sketches(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {name: sketch(tensor, name) for name, tensor in tensors}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}
