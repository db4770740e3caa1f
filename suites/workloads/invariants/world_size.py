"""Several processes do what one does: replicas of a model, and shards of it. Knows no device and no collective."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness.case import Case, Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.ranks import training
from suites.ranks.together import together
from suites.workloads.invariants.stating import Stated, agree, alike, exact, hold, moved, present, stated
from suites.workloads.invariants.subject import logits, subject, terms, text
from suites.workloads.post_training.sft import next_token

Told = Sequence[Mapping[str, Tensor]]

_FAMILIES = ("deepseek_v4-flash", "llama")


def _part(told: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors `<prefix>/<name>` by name."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in told.items() if key.startswith(f"{prefix}/")}


def _joined(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def _alone(module: Any, tokens: Tensor, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what one process says of the step of `training`, on the host; its optimizer is given the gradients of the ranks.

    Given its own, it would say little: AdamW's first step is as long for a gradient that is all rounding as for any other.
    """
    with torch.no_grad():
        scores = logits(module, tokens)
    loss = next_token(module, {"tokens": tokens})["loss"]
    torch.autograd.backward(loss)
    trained = dict(module.named_parameters())
    norm = training.clipped([p for p in trained.values() if p.grad is not None])
    found = {"logits": scores, "loss": loss.detach()[None], "norm": norm[None]}  # as recordings have scalars
    found |= {f"gradient/{name}": p.grad for name, p in trained.items() if p.grad is not None}
    kept = {name: p.detach().clone() for name, p in trained.items()}
    for name, parameter in trained.items():
        parameter.grad = gradients[name].to(parameter.device) if name in gradients else None
    training.stepped(trained)
    found |= {f"weight/{name}": p.detach().clone() for name, p in trained.items()}
    found["moved"] = _joined({name: found[f"weight/{name}"] - kept[name] for name in kept})
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(kept[name])
            parameter.grad = None
    return {name: value.cpu() for name, value in found.items()}


def _as_one(told: Told, alone: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State that loss, norm and gradients of the ranks are those of one process, and the same bits for each of them."""
    places = torch.cat([rank["rows"] for rank in told])
    first, gradients = told[0], _part(alone, "gradient")
    found = _part(first, "gradient")
    said = agree("logits", torch.cat([rank["logits"] for rank in told]), alone["logits"][places])
    said |= agree("loss", first["loss"], alone["loss"]) | agree("gradient's norm", first["norm"], alone["norm"])
    said |= moved("clipping", (alone["norm"] - training.CAP).clamp(min=0))
    said |= exact("parameters with a gradient", torch.tensor([n in found for n in gradients]), torch.ones(len(gradients), dtype=torch.bool))
    said |= alike(found, {n: g for n, g in gradients.items() if n in found}, training.ROWS * training.LENGTH)
    for rank, other in enumerate(told[1:], 1):
        said |= exact(f"loss and norm of rank {rank}", *(torch.stack([one["loss"], one["norm"]]) for one in (other, first)))
        said |= exact(f"gradients of rank {rank}", *(_joined(_part(one, "gradient")) for one in (other, first)))
    return said


def _stepped_as_one(told: Told, alone: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State that the weights after a step are those of one process that was given the same gradients, in every rank the same bits."""
    said = moved("step", alone["moved"])
    for name, weight in _part(alone, "weight").items():
        said |= agree(f"{name} after a step", told[0][f"weight/{name}"], weight)
    for rank, other in enumerate(told[1:], 1):
        said |= exact(f"weights of rank {rank}", *(_joined(_part(one, "weight")) for one in (other, told[0])))
    return said


def replicas(inputs: Inputs, /, *, model: str, world: int) -> Step:
    """Data parallel (DDP), rows not equally many: loss, gradients, their norm and weights after a step are those of one process."""
    module, tokens = subject(inputs, model), text(inputs, training.ROWS, training.LENGTH)

    def check() -> Stated:
        told = together(training.REPLICA.with_params(model=model), world, inputs.device)
        alone = _alone(module, tokens, _part(told[0], "gradient"))
        return {**_as_one(told, alone), **_stepped_as_one(told, alone)}

    return stated(check, terms(module, training.LENGTH, backward=True))


def shards(inputs: Inputs, /, *, model: str, world: int) -> Step:
    """FSDP2: logits, loss, gradients and their norm are those of one process, though parameters have fewer rows than there are ranks."""
    module, tokens = subject(inputs, model), text(inputs, training.ROWS, training.LENGTH)

    def check() -> Stated:
        told = together(training.SHARD.with_params(model=model), world, inputs.device)
        said = _as_one(told, _alone(module, tokens, _part(told[0], "gradient")))
        if min(len(p) for p in module.parameters()) < world:
            said |= present("ranks with an empty shard", torch.stack([one["fewest"] == 0 for one in told]))
        return said

    return stated(check, terms(module, training.LENGTH, backward=True))


def sharded_step(inputs: Inputs, /, *, model: str, world: int) -> Step:
    """FSDP2: a step moves every shard as one process moves the whole; a checkpoint has the weights, and gives them back to all ranks."""
    module, tokens = subject(inputs, model), text(inputs, training.ROWS, training.LENGTH)

    def check() -> Stated:
        told = together(training.SHARD.with_params(model=model), world, inputs.device)
        said = _stepped_as_one(told, _alone(module, tokens, _part(told[0], "gradient")))
        for rank, one in enumerate(told):
            for what in ("saved", "restored"):
                if found := _part(one, what):  # PyTorch may leave a whole checkpoint to the first rank
                    said |= exact(f"weights {what} by rank {rank}", _joined(found), _joined(_part(one, "weight")))
        return said

    return stated(check, terms(module, training.LENGTH, backward=True))


def _of(world: int) -> Iterator[Case]:
    """Yield the cases of so many ranks; wide, because ranks take long to start."""
    for workload, cause in ((replicas, Cause.GRADIENT), (shards, Cause.GRADIENT), (sharded_step, Cause.UPDATE)):
        for case in hold(workload, _FAMILIES, cause, name=f"{workload.__name__.replace('_', '-')}-of-{world}", world=world):
            yield replace(case, wide=True)


CASES = (*_of(2), *_of(3))  # three ranks divide few sizes
