"""One optimizer step by several ranks: each a replica of the model, or each with a shard of every parameter. Knows no device.

Every rank has rows of its own of one batch, not equally many, and the loss is the mean over the tokens of all. The functions are small and
of this module, because faults are seeded in them (`suites/mutation`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from harness.case import Case, Scalar, Step
from harness.inputs import Inputs
from suites.ranks.together import joined, named, whole
from suites.workloads.invariants.subject import logits, subject, text
from suites.workloads.post_training.optimizers import OPTIMIZERS

ROWS, LENGTH = 4, 40
RATE = 2.0**-7
CAP = 0.25  # of the gradient's norm, which is larger

_FULL = StateDictOptions(full_state_dict=True)
_FROM_FIRST = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def rows_of(rank: int, world: int) -> list[int]:
    """Return which rows of the batch a rank takes: one each, and the first rank all the others too."""
    spare = ROWS - world
    return list(range(spare + 1)) if rank == 0 else [rank + spare]


def counted(targets: int, device: torch.device) -> Tensor:
    """Return the tokens that all ranks together are to predict, an int64 scalar."""
    total = torch.tensor(targets, device=device)
    dist.all_reduce(total)
    return total


def share_of_loss(scores: Tensor, rows: Tensor, total: Tensor) -> Tensor:
    """Return what a rank's rows [batch, length] add to the mean loss over `total` tokens, in nats, from their logits."""
    summed = functional.cross_entropy(scores[:, :-1].flatten(0, 1), rows[:, 1:].flatten(), reduction="sum")
    return summed / total


def backward(share: Tensor, world: int) -> None:
    """Compute gradients. DDP and FSDP take the mean over the ranks, where shares are to be added: hence the factor."""
    torch.autograd.backward(share * world)


def clipped(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Scale all gradients so that their norm is at most CAP; return the norm that they had."""
    return whole(clip_grad_norm_(parameters, CAP))


def stepped(parameters: Mapping[str, nn.Parameter]) -> None:
    """Take one step of AdamW."""
    OPTIMIZERS["adamw"](parameters, RATE).step()


def replicated(module: Any, _mesh: DeviceMesh) -> nn.Module:
    """Return the model as DDP trains it; that a parameter gets no gradient (an indexer) is allowed."""
    return DistributedDataParallel(module, find_unused_parameters=True)


def sharded(module: Any, mesh: DeviceMesh) -> nn.Module:
    """Return the model as FSDP2 trains it: layer by layer, each parameter divided by rows, of which some ranks may have none."""
    for layer in module.model.layers:
        fully_shard(layer, mesh=mesh)
    divided: nn.Module = fully_shard(module, mesh=mesh)
    return divided


def _trained(module: nn.Module, tokens: Tensor, rank: int, world: int) -> Iterator[tuple[str, Tensor]]:
    """Take a step on this rank's rows of tokens [batch, length] and yield what there is to tell of it, by name.

    `rows` (which), their `logits`, the `loss` of all ranks, the gradients' `norm`, and of each parameter, whole, `gradient/<name>`
    (clipped, where it has one) and `weight/<name>` (afterwards).
    """
    mine = rows_of(rank, world)
    total = counted(len(mine) * (tokens.shape[1] - 1), tokens.device)
    scores = logits(module, tokens[mine])
    share = share_of_loss(scores, tokens[mine], total)
    backward(share, world)
    loss = share.detach().clone()
    dist.all_reduce(loss)
    yield from {"rows": torch.tensor(mine), "logits": scores, "loss": loss}.items()
    trained = {name.removeprefix("module."): parameter for name, parameter in module.named_parameters()}
    yield "norm", clipped([p for p in trained.values() if p.grad is not None])
    yield from named("gradient", {n: p.grad.clone() for n, p in trained.items() if p.grad is not None}).items()
    stepped(trained)
    yield from named("weight", {n: p.detach().clone() for n, p in trained.items()}).items()


def saved(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights as a checkpoint has them, whole."""
    found: Mapping[str, Any] = get_model_state_dict(module, options=_FULL)
    return {name: value.clone() for name, value in found.items()}


def restored(module: nn.Module, rank: int, kept: Mapping[str, Tensor]) -> None:
    """Fill a model with a checkpoint that only the first rank has read."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    set_model_state_dict(module, dict(kept) if rank == 0 else {}, options=_FROM_FIRST)


def replica(inputs: Inputs, /, *, model: str, rank: int, world: int, meeting: str) -> Step:
    """Train a replica; what it returns, see `_trained`."""
    torch.set_num_threads(1)  # ranks share the host's cores
    module, tokens = subject(inputs, model), text(inputs, ROWS, LENGTH)

    def call() -> dict[str, Tensor]:
        with joined(inputs.device, rank, world, meeting) as mesh:
            return dict(_trained(replicated(module, mesh), tokens, rank, world))

    return Step(call)


def shard(inputs: Inputs, /, *, model: str, rank: int, world: int, meeting: str) -> Step:
    """Train a shard; what it returns, see `_trained`, and the weights as they are `saved/<name>` and `restored/<name>` from there.

    `fewest` is how many elements of a parameter this rank has where it has the fewest.
    """
    torch.set_num_threads(1)
    module, tokens = subject(inputs, model), text(inputs, ROWS, LENGTH)

    def call() -> dict[str, Tensor]:
        with joined(inputs.device, rank, world, meeting) as mesh:
            divided = sharded(module, mesh)
            told = dict(_trained(divided, tokens, rank, world))
            kept = saved(divided)
            told |= {f"saved/{name}": kept[name] for name, _ in divided.named_parameters() if name in kept}
            restored(divided, rank, kept)
            fewest = min(parameter.to_local().numel() for parameter in divided.parameters())  # type: ignore[attr-defined]
            return told | named("restored", dict(divided.named_parameters())) | {"fewest": torch.tensor(fewest)}

    return Step(call)


_PARAMS: dict[str, Scalar] = {"model": "tiny:llama", "rank": 0, "world": 1, "meeting": ""}

REPLICA = Case("ranks/replica", "post_training", replica, "float32", (), _PARAMS, golden=False, timeout=240)
SHARD = Case("ranks/shard", "post_training", shard, "float32", (), _PARAMS, golden=False, timeout=240)

CASES = (REPLICA, SHARD)
