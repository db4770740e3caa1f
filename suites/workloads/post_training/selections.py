"""What a model selects as it runs (experts, keys): recorded beside its scores, or given. Knows no family and no device.

Every family selects with `topk`, in an order that its code fixes, so the calls can be watched from outside. A selection that is given is
replayed: whatever the scores say, these are taken, with the scores that they have. So numeric drift can be told from another choice:
compared are either choices alone, each made after everything before it was as in float64, or numbers alone, of a model in which both sides
select alike. Where the scores are equal float64 takes the first, so that any two machines give the same selections.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from harness.case import Case, Promise, Scalar, Step
from harness.checks.selections import Selections
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.families import FAMILIES, PREFIX
from suites.assets.language_model import load
from suites.workloads.float64 import Float64
from suites.workloads.model import arithmetic, place
from suites.workloads.post_training.loop import Batch, Objective

_MASKED = -1e30  # models mask with the least number of a dtype, or with -inf; a score below this is one


class Selecting(TorchFunctionMode):
    """While this is entered, each `topk` is recorded: `scores` and what the device itself takes of them, `chosen`, in order of calls.

    With `given`, the call goes on with the next of these indices instead. Raises ValueError where calls and indices do not match.
    """

    def __init__(self, given: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.scores: list[Tensor] = []
        self.chosen: list[Tensor] = []
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
        self.scores.append(scores.detach())
        self.chosen.append(result[1].detach())
        return result if self._given is None else self._replayed(scores, result, dim)

    def _replayed(self, scores: Tensor, result: Any, dim: int) -> Any:
        assert self._given is not None
        indices = next(self._given, None)
        if indices is None or indices.shape != result[1].shape:
            shape = None if indices is None else tuple(indices.shape)
            raise ValueError(f"selection {len(self.chosen) - 1} has the shape {tuple(result[1].shape)}, given is {shape}")
        return torch.return_types.topk((scores.gather(dim, indices), indices))


def exact_selections(model: PreTrainedModel, run: Callable[[nn.Module], object]) -> list[Tensor]:
    """Return what a float64 copy of a host model selects in `run(copy)`: int64 indices of each call, the first of equal scores."""
    exact = deepcopy(model).double()
    if hasattr(exact, "set_experts_implementation"):
        exact.set_experts_implementation("eager")
    with torch.no_grad(), Float64(), _First() as seen:
        run(exact)
    taken: list[Tensor] = seen.taken
    return taken


class _First(TorchFunctionMode):
    """Take the first of equal scores, which `topk` leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is not torch.topk and func is not Tensor.topk:
            return result
        scores = args[0] if args else (kwargs or {})["input"]
        dim = args[2] if len(args) > 2 else (kwargs or {}).get("dim", -1)
        indices = scores.sort(dim=dim, descending=True, stable=True).indices.narrow(dim, 0, result[1].shape[dim])
        self.taken.append(indices)
        return torch.return_types.topk((scores.gather(dim, indices), indices))


def replayed(inputs: Inputs, model: PreTrainedModel, objective: Objective, batches: Sequence[Batch]) -> tuple[Objective, list[Batch]]:
    """Return an objective and batches that select as `model`, on the host and not yet trained, does in float64.

    Each batch carries its selections as inputs; they are the same at each step that it is trained on.
    """
    on_host = [{name: value.cpu() for name, value in batch.items()} for batch in batches]
    functions = {"loss": objective.loss, **({"first": objective.first} if objective.first else {})}
    with_selections: list[Batch] = []
    for number, batch in enumerate(batches):
        carried = dict(batch)
        for kind, function in functions.items():
            if kind == "loss" or number == 0:
                given = exact_selections(model, lambda exact, f=function, n=number: f(exact, on_host[n]))  # type: ignore[misc]
                carried |= {f"{kind}_selection_{i}": inputs.given(f"{kind}_selection_{number}_{i}", one) for i, one in enumerate(given)}
        with_selections.append(carried)
    first = None if objective.first is None else _replaying("first", objective.first)
    return replace(objective, loss=_replaying("loss", objective.loss), first=first), with_selections


def _replaying(
    kind: str, function: Callable[[nn.Module, Batch], Mapping[str, Tensor]]
) -> Callable[[nn.Module, Batch], Mapping[str, Tensor]]:
    def run(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        with Selecting(value for name, value in batch.items() if name.startswith(f"{kind}_selection_")):
            return function(model, batch)

    return run


@dataclass
class _Sites:
    """The names of the modules that are running, the innermost last."""

    running: list[str]

    def watch(self, model: nn.Module) -> None:
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda *_, name=name: self.running.append(name))
            module.register_forward_hook(lambda *_: (self.running.pop(), None)[1])


def selections(inputs: Inputs, /, *, model: str, batch: int, length: int) -> Step:
    """Run a model that is not trained forward on `batch` rows of `length` tokens, and return what it selects.

    For the i-th selection, made in the module `site`: `scores/<i>/<site>` float [rows, candidates], masked ones -inf, and
    `chosen/<i>/<site>` int64 [rows, k]. Each is made from scores to which float64's selections have led.
    """
    language_model = load(model)
    host = token_batches(language_model.tokenizer, batch, length, 1)[0]
    exact = exact_selections(language_model.module, lambda module: module(input_ids=host, use_cache=False))
    tokens = inputs.given("tokens", host)
    given = [inputs.given(f"selection_{i}", indices) for i, indices in enumerate(exact)]
    module = place(inputs, language_model.module, torch.float32)
    sites = _Sites([])
    sites.watch(module)

    @torch.no_grad()
    def call() -> Mapping[str, Tensor]:
        names, numbers = [], count()

        class Named(Selecting):
            def _replayed(self, scores: Tensor, result: Any, dim: int) -> Any:
                names.append(f"{next(numbers):02d}/{sites.running[-1]}")
                return super()._replayed(scores, result, dim)

        with arithmetic(inputs, mixed=True), Named(given) as seen:
            module(input_ids=tokens, use_cache=False)
        found = {}
        for name, scores, chosen in zip(names, seen.scores, seen.chosen, strict=True):
            found[f"scores/{name}"] = scores.masked_fill(scores < _MASKED, float("-inf")).flatten(0, -2)
            found[f"chosen/{name}"] = chosen.flatten(0, -2)
        return found

    return Step(call, work=batch * length, unit="tokens")


_CHECKS: tuple[Promise, ...] = (Selections(), SpecialValues(only=("scores/*",)))


def _cases() -> Iterable[Case]:
    for family in (name for name, one in FAMILIES.items() if one.selects):
        float32 = f"post_training/selections/{family}[float32]"
        for dtype, golden_of in (("float32", None), ("bfloat16", float32)):
            params: dict[str, Scalar] = {"model": PREFIX + family, "batch": 2, "length": 64}
            name = f"post_training/selections/{family}[{dtype}]"
            yield Case(name, "post_training", selections, dtype, _CHECKS, params, golden_of=golden_of)


CASES = tuple(_cases())
