"""The loop that SFT and LoRA share: an optimizer step a call, all gradients and updates sketched. Knows no way to adapt a model."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from itertools import cycle

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from harness.case import Step
from harness.inputs import Inputs
from harness.sketch import sketch
from suites.workloads.model import arithmetic

_MAX_NORM = 1.0


def next_token_loss(model: PreTrainedModel, tokens: Tensor, context: AbstractContextManager[object]) -> Tensor:
    """Return the mean next-token cross-entropy in nats of tokens [batch, length], in float32 (float64 in the golden's context)."""
    with context:
        logits: Tensor = model(input_ids=tokens, use_cache=False).logits[:, :-1].float()
        return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def train(inputs: Inputs, model: PreTrainedModel, batches: Tensor, *, learning_rate: float, sketches: bool) -> Step:
    """Return a Step whose call is one AdamW step on the next of `batches` (int64 [steps, batch, length]; they repeat).

    What requires a gradient is trained: float32 weights, and for a bfloat16 case autocast in the forward pass, because
    bfloat16 weights lose updates that are smaller than their last digit. The gradient norm is clipped at 1.
    Each call returns `loss` and `grad_norm` (before clipping), scalars. With `sketches`, the outputs
    `grad/<parameter>` (on batch 0, before the first step, unclipped) and `update/<parameter>` (last minus initial weight) are
    float64 sketches.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=learning_rate, weight_decay=0.1, foreach=False, fused=False)
    model.train()
    upcoming = cycle(batches)

    def step() -> Mapping[str, Tensor]:
        optimizer.zero_grad(set_to_none=True)
        loss = next_token_loss(model, next(upcoming), arithmetic(inputs, mixed=True))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_grad_norm_(trained.values(), _MAX_NORM, foreach=False)
        optimizer.step()
        return {"loss": loss.detach(), "grad_norm": norm.detach()}

    gradients, initial = ({}, {}) if not sketches else (_gradients(inputs, model, trained, batches[0]), _sketches(trained.items()))

    def finish() -> Mapping[str, Tensor]:
        # a sketch is linear, so that no copy of the initial weights is needed; in float64 the difference of two loses nothing that shows
        updates = {name: last - initial[name] for name, last in _sketches(trained.items()).items()}
        return {**_under("grad/", gradients), **_under("update/", updates)}

    work = batches.shape[1] * batches.shape[2]
    return Step(step, work=work, unit="tokens", series=("loss", "grad_norm"), finish=finish if sketches else None)


def _gradients(inputs: Inputs, model: PreTrainedModel, trained: Mapping[str, nn.Parameter], tokens: Tensor) -> dict[str, Tensor]:
    """Return the sketches of all gradients on one batch, and leave no gradient behind."""
    next_token_loss(model, tokens, arithmetic(inputs, mixed=True)).backward()  # type: ignore[no-untyped-call]
    found = _sketches((name, torch.zeros_like(p) if p.grad is None else p.grad) for name, p in trained.items())
    model.zero_grad(set_to_none=True)
    return found


def _sketches(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {name: sketch(tensor, name) for name, tensor in tensors}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}
