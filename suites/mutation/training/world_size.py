"""Faults of training by several processes, and benign variants of it. Knows no invariant.

Ranks are processes of their own, which a change in this one does not reach: a rank is asked for another case, of this module's CASES, that
makes the change around the right one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_

from harness.case import Case, Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.mutation.seeds import Change, Seed, benign, edited, fault, replaced
from suites.ranks import training

_GRADIENT, _UPDATE = Cause.GRADIENT, Cause.UPDATE
_TRAINING = "suites.ranks.training"
_FLASH = "deepseek_v4-flash"

_CHANGES: dict[str, Change] = {}


def _asked(case: Case, name: str) -> Case:
    return replace(case, id=f"{case.id} with {name}", listed_in=__name__)


def _in_ranks(name: str, change: Change) -> Change:
    """Return what has every rank work under `change`, and leaves this process as it is."""
    _CHANGES[name] = change
    return replaced("suites.workloads.invariants.world_size:together", lambda right: lambda case, *rest: right(_asked(case, name), *rest))


def _changed(case: Case, name: str) -> Case:
    """Return the case that a rank is asked for in the place of `case`."""

    def workload(inputs: Inputs, /, **params: Any) -> Step:
        step = case.workload(inputs, **params)

        def call() -> Mapping[str, Tensor]:
            with _CHANGES[name]():
                return step.call()

        return replace(step, call=call)

    return replace(_asked(case, name), workload=workload)


def _fault(name: str, family: str, cause: Cause, source: str, change: Change) -> Seed:
    return fault(name, family, "world_size", (cause,), source, _in_ranks(name, change))


def _benign(name: str, family: str, source: str, change: Change) -> Seed:
    return benign(name, family, ("world_size",), source, _in_ranks(name, change))


def _both(*changes: Change) -> Change:
    @contextmanager
    def change() -> Iterator[None]:
        with ExitStack() as stack:
            for one in changes:
                stack.enter_context(one())
            yield

    return change


def _divided(parameters: Sequence[nn.Parameter], by: int) -> Sequence[nn.Parameter]:
    for gradient in _gradients(parameters):
        gradient.div_(by)
    return parameters


def _local(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this rank has."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _gradients(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Return the part of each gradient that this rank has."""
    return [_local(p.grad) for p in parameters if p.grad is not None]


def _squares(parameters: Sequence[nn.Parameter], dtype: torch.dtype) -> Tensor:
    return torch.stack([gradient.to(dtype).square().sum() for gradient in _gradients(parameters)]).sum()


def _told_own_norm(right: Any) -> Any:
    def clipped(parameters: Sequence[nn.Parameter]) -> Tensor:
        own = _squares(parameters, torch.float32).sqrt()
        right(parameters)
        return own

    return clipped


def _clipped_by_own_shard(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Clip to the norm of what this rank has, as if that were all."""
    norm = _squares(parameters, torch.float32).sqrt()
    for gradient in _gradients(parameters):
        gradient.mul_(min(1.0, training.CAP / float(norm)))
    return norm


def _clipped_by_all_ranks(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Add up squares over the ranks, replicas too, whose gradients are the same."""
    total = _squares(parameters, torch.float32)
    dist.all_reduce(total)
    clip_grads_with_norm_(parameters, training.CAP, total.sqrt())
    return total.sqrt()


def _clipped_from_host(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Add up squares in float64, one number a rank, and scale each shard."""
    total = _squares(parameters, torch.float64).to("cpu").to(torch.float32).to(parameters[0].device)
    if any(isinstance(p, DTensor) for p in parameters):
        dist.all_reduce(total)
    norm = total.sqrt()
    for gradient in _gradients(parameters):
        gradient.mul_(training.CAP / (norm + 1e-6))
    return norm


def _unsynchronised(right: Any) -> Any:
    def replicated(module: Any, mesh: Any) -> Any:
        made = right(module, mesh)
        made.require_backward_grad_sync = False  # what `no_sync` sets
        return made

    return replicated


def _reduced_but_for_one(right: Any) -> Any:
    def reduce_scatter(output: Tensor, input: Tensor, *args: Any, **rest: Any) -> Any:
        own = input.chunk(dist.get_world_size())[dist.get_rank()].clone()
        work = right(output, input, *args, **rest)
        if dist.get_rank() == dist.get_world_size() - 1:
            if work is not None:
                work.wait()
            output.copy_(own)
        return work

    return reduce_scatter


def _gathered_backwards(right: Any) -> Any:
    def all_gather(output: Tensor, input: Tensor, *args: Any, **rest: Any) -> Any:
        work = right(output, input, *args, **rest)
        if work is not None:
            work.wait()
        output.copy_(torch.cat(output.chunk(dist.get_world_size())[::-1]))
        return work

    return all_gather


def _without_empty(right: Any) -> Any:
    """Return an optimizer's step that leaves out parameters of which a rank has nothing, on the ranks that have some, too."""

    def empty(parameter: Tensor) -> bool:
        return isinstance(parameter, DTensor) and len(parameter) < dist.get_world_size()

    return lambda parameters: right({n: p for n, p in parameters.items() if not empty(p)})


def _even_rows(right: Any) -> Any:
    """Return a checkpoint of as many rows as all ranks have alike; the others are zeros."""

    def saved(module: nn.Module) -> dict[str, Tensor]:
        found: dict[str, Tensor] = right(module)
        for value in found.values():
            if value.ndim:
                value[len(value) - len(value) % dist.get_world_size() :] = 0
        return found

    return saved


FAULTS: tuple[Seed, ...] = (
    _fault(
        "means-of-ranks-averaged", "llama", _GRADIENT, "huggingface/transformers#34242, pytorch/torchtitan#1842: each rank counts alike",
        edited(f"{_TRAINING}:share_of_loss", mean=("summed / total", "summed / (rows[:, 1:].numel() * dist.get_world_size())")),
    ),
    _fault(
        "last-pass-without-sync", "llama", _GRADIENT, "modelscope/FunASR#3472, karpathy/build-nanogpt#30: replicas keep their own",
        replaced(f"{_TRAINING}:replicated", _unsynchronised),
    ),
    _fault(
        "norm-of-own-shard-told", "llama", _GRADIENT, "pytorch/torchtitan#766, radixark/miles_diffusion#35: a partial norm is logged",
        replaced(f"{_TRAINING}:clipped", _told_own_norm),
    ),
    _fault(
        "clipped-by-own-shard", "llama", _GRADIENT, "areal-project/AReaL#312, RLinf/RLinf#1558: every rank has a factor of its own",
        replaced(f"{_TRAINING}:clipped", lambda right: _clipped_by_own_shard),
    ),
    _fault(
        "norm-counts-replicas", "llama", _GRADIENT, "ByteDance-Seed/VeOmni#862, pytorch/pytorch#88955: a norm that grows with the world",
        replaced(f"{_TRAINING}:clipped", lambda right: _clipped_by_all_ranks),
    ),
    _fault(
        "one-shard-not-reduced", "llama", _GRADIENT, "no report known, a plausible slip: the last rank keeps its own gradient",
        replaced("torch.distributed:reduce_scatter_single", _reduced_but_for_one),
    ),
    _fault(
        "gathered-in-another-order", "llama", _GRADIENT, "NVIDIA/nccl#1906: all_gather returns shards in the order of other ranks",
        replaced("torch.distributed:all_gather_single", _gathered_backwards),
    ),
    _fault(
        "empty-shards-not-stepped", _FLASH, _UPDATE, "ByteDance-Seed/VeOmni#974: of position_bias some ranks have nothing",
        replaced(f"{_TRAINING}:stepped", _without_empty),
    ),
    _fault(
        "checkpoint-of-even-rows", "llama", _UPDATE, "pytorch/pytorch#136228: rows that the world size does not divide",
        replaced(f"{_TRAINING}:saved", _even_rows),
    ),
)  # fmt: skip

BENIGN: tuple[Seed, ...] = (
    _benign(
        "last-rank-has-most-rows", "llama", "which rank has which rows is free",
        replaced(f"{_TRAINING}:rows_of", lambda right: lambda rank, world: right(world - 1 - rank, world)),
    ),
    _benign(
        "divided-after-the-sum", "llama", "tokens of all ranks divide the gradients, not the loss",
        _both(
            edited(f"{_TRAINING}:backward", factor=("(share * world)", "(share * world * 156)")),
            replaced(f"{_TRAINING}:clipped", lambda right: lambda parameters: right(_divided(parameters, 156))),
        ),
    ),
    _benign(
        "norm-from-squares-in-float64", _FLASH, "one sum of squares a rank, wide",
        replaced(f"{_TRAINING}:clipped", lambda right: _clipped_from_host),
    ),
    _benign(
        "logits-in-float64", "llama", "a wide loss on every rank",
        edited(
            f"{_TRAINING}:share_of_loss",
            wide=("scores[:, :-1].flatten(0, 1)", "scores.double()[:, :-1].flatten(0, 1)"),
            narrow=("return summed / total", "return (summed / total).float()"),
        ),
    ),
)  # fmt: skip

#: What ranks are asked for.
CASES = tuple(_changed(case, name) for name in _CHANGES for case in training.CASES)
