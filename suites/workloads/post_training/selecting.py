"""What a model selects as it runs (experts, keys): recorded beside its scores, or given. Knows no family, no stage and no device.

Every family selects with `topk`, in an order that its code fixes, so the calls can be watched from outside. A selection that is given is
replayed: whatever the scores say, these are taken, with the scores that they have. So numeric drift can be told from another choice:
compared are either choices alone, each made after everything before it was as in float64, or numbers alone, of a model in which both sides
select alike. Where the scores are equal float64 takes the first, so that any two machines give the same selections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from harness.inputs import Inputs
from suites.workloads.float64 import Float64
from suites.workloads.post_training.loop import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CARRIED = "selection_"


class Selecting(TorchFunctionMode):
    """While this is entered, each `topk` is recorded: `scores`, the indices `chosen` by the device, and those `taken`, in order of calls.

    A call goes on with what is taken: the next of `given`, or what was chosen where none are. Raises ValueError where calls and indices
    do not match.
    """

    def __init__(self, given: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.scores: list[Tensor] = []
        self.chosen: list[Tensor] = []
        self.taken: list[Tensor] = []
        self._given = None if given is None else iter(given)

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Watch `torch.topk` and `Tensor.topk`; everything else is left alone."""
        result = func(*args, **(kwargs or {}))
        if func is not torch.topk and func is not Tensor.topk:
            return result
        scores = args[0] if args else (kwargs or {})["input"]
        dim = (args[2] if len(args) > 2 else (kwargs or {}).get("dim", -1)) % scores.ndim
        taken = self.take(scores.detach(), result[1], dim)
        self.scores.append(scores.detach())
        self.chosen.append(result[1])
        self.taken.append(taken)
        return result if taken is result[1] else torch.return_types.topk((scores.gather(dim, taken), taken))

    def take(self, scores: Tensor, chosen: Tensor, dim: int) -> Tensor:
        """Return the indices along `dim` of `scores` with which the call goes on, in the shape of those that were `chosen`."""
        if self._given is None:
            return chosen
        indices = next(self._given, None)
        if indices is None or indices.shape != chosen.shape:
            shape = None if indices is None else tuple(indices.shape)
            raise ValueError(f"selection {len(self.chosen)} has the shape {tuple(chosen.shape)}, given is {shape}")
        return indices


class _First(Selecting):
    """Take the first of equal scores, which `topk` leaves open."""

    def take(self, scores: Tensor, chosen: Tensor, dim: int) -> Tensor:
        return scores.sort(dim=dim, descending=True, stable=True).indices.narrow(dim, 0, chosen.shape[dim])


def exact_selections(model: PreTrainedModel, run: Callable[[PreTrainedModel], object]) -> list[Tensor]:
    """Return what a float64 copy of a host model selects in `run(copy)`: int64 indices of each call, the first of equal scores."""
    exact = deepcopy(model).double()
    if hasattr(exact, "set_experts_implementation"):
        exact.set_experts_implementation("eager")
    watched = _First()
    with torch.no_grad(), Float64(), watched:
        run(exact)
    return watched.taken


def with_selections(
    inputs: Inputs, model: PreTrainedModel, run: Callable[[PreTrainedModel, Batch], object], batches: Sequence[Batch], prefix: str = ""
) -> list[Batch]:
    """Return the batches with what `model`, on the host and not yet trained, selects of each in float64, in the forward pass `run`.

    A batch carries them as `selection_<i>`, inputs of the name `<prefix>selection_<batch>_<i>`: they are the same at each step that it is
    trained on, and in all that makes its forward passes while `replaying`.
    """

    def carrying(number: int, batch: Batch) -> Batch:
        on_host = {name: value.cpu() for name, value in batch.items()}
        taken = exact_selections(model, lambda exact: run(exact, on_host))
        return {**batch, **{f"{_CARRIED}{i}": inputs.given(f"{prefix}{_CARRIED}{number}_{i}", one) for i, one in enumerate(taken)}}

    return [carrying(number, batch) for number, batch in enumerate(batches)]


def replaying(batch: Batch) -> AbstractContextManager[object]:
    """Return the context in which one forward pass over a batch selects what the batch carries; as the model will where it carries none."""
    given = [value for name, value in batch.items() if name.startswith(_CARRIED)]
    return Selecting(given) if given else nullcontext()
