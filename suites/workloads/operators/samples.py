"""Call an operator on many samples, forward and backward, and keep what each gives or why it refused. Knows no operator and no device."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.case import Step
from harness.devices.refusals import says_unsupported
from harness.dispatch import Dispatch
from harness.inputs import Inputs, draw_normal
from suites.workloads.float64 import by_default

_REFUSALS = (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)
_COTANGENTS = 4096  # drawn once, and repeated for larger outputs


@dataclass(frozen=True)
class Sample:
    """One call: operands as the operator takes them, what is differentiated of its result, and whether that is random."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    differentiated: Callable[[Any], Any] = field(default=lambda result: result)
    draws: bool = False

    @cached_property
    def leaves(self) -> list[Tensor]:
        """Its tensors, in order."""
        return [leaf for leaf in _leaves((self.arguments, self.keywords)) if isinstance(leaf, Tensor)]

    def with_leaves(self, tensors: Iterator[Tensor]) -> "Sample":
        """Return the same call with its tensors taken from `tensors`."""
        arguments, keywords = _refilled((self.arguments, self.keywords), tensors)
        return replace(self, arguments=arguments, keywords=keywords)

    def tried(self, operator: Callable[..., Any]) -> "Sample":
        """Return the same sample, knowing whether `operator` draws random numbers for it; that is found out on copies of host tensors."""
        copy = self.with_leaves(iter([leaf.detach().clone() for leaf in self.leaves]))
        with suppress(*_REFUSALS), Draws() as draws:
            operator(*copy.arguments, **copy.keywords)
        return replace(self, draws=draws.seen)

    def words(self) -> str:
        """Return the call as a reader would write it, shapes instead of values."""
        given = [*(_word(a) for a in self.arguments), *(f"{k}={_word(v)}" for k, v in self.keywords.items())]
        return f"({', '.join(given)})"


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what lies in nested tuples, lists and dictionaries, in order; torch's own pytree takes ten times as long."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield value


def _refilled(value: Any, tensors: Iterator[Tensor]) -> Any:
    """Return the same structure with its tensors taken from `tensors`."""
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, (tuple, list)):
        items = [_refilled(item, tensors) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return {key: _refilled(item, tensors) for key, item in value.items()} if isinstance(value, dict) else value


def _word(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(_word(v) for v in value)})"
    return repr(value) if isinstance(value, (int, float, bool, str, type(None), torch.dtype)) else type(value).__name__


class Draws(Dispatch):
    """Notices whether an operator that passes takes numbers from the host's generator; attention may, and without dropout does not."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run the operator, and look at the generator where it may be used."""
        if self.seen or torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        before = torch.get_rng_state()
        result = func(*args, **(kwargs or {}))
        self.seen = not torch.equal(before, torch.get_rng_state())
        return result


class Calls:
    """The samples of one operator on one device.

    `form_only`: the values of a result are nobody's business, only dtype and shape. That holds for a sample that draws random numbers too.
    """

    def __init__(self, inputs: Inputs, operator: Callable[..., Any], samples: Sequence[Sample], form_only: bool = False) -> None:
        self._inputs, self._operator, self._form_only = inputs, operator, form_only
        inputs.told("calls", "\n".join(sample.words() for sample in samples))
        placed = iter(inputs.given_all("samples", [leaf for sample in samples for leaf in sample.leaves]))
        self._samples = [sample.with_leaves(placed) for sample in samples]
        hosts = iter([host for _, host in inputs.placed[len(inputs.placed) - sum(len(s.leaves) for s in samples) :]])
        self._operands = {f"{i:03d}": _first([next(hosts) for _ in sample.leaves]) for i, sample in enumerate(samples)}
        self.raised: dict[str, dict[str, Any]] = {}

    def __call__(self) -> dict[str, Tensor]:
        """Return `<sample>.<k>` for the k-th result and `<sample>.grad<k>` for the gradient of the k-th tensor that wants one, on the host.

        Raises what the first sample raised when all of them did, and the device says that it has no such operator.
        """
        self.raised = {}
        outputs: dict[str, Tensor] = {}
        first: Exception | None = None
        for i, sample in enumerate(self._samples):
            part = f"{i:03d}"
            try:
                with self._arithmetic():
                    outputs |= self._one(part, sample)
            except _REFUSALS as error:
                self._forget()
                first = first or error
                self.raised[part] = {
                    "unsupported": says_unsupported(error),
                    "message": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}",
                }
        if first and len(self.raised) == len(self._samples) and all(said["unsupported"] for said in self.raised.values()):
            raise first
        return outputs

    def step(self) -> Step:
        """Return the step of a workload that makes these calls, all of them in one pass."""
        return Step(self, 1.0, "passes", details=self.details)

    def details(self) -> dict[str, object]:
        """Return which samples raised, in the device's words, and each call in words."""
        return {"raised": self.raised, "samples": [sample.words()[:200] for sample in self._samples]}

    def _arithmetic(self) -> AbstractContextManager[None]:
        return by_default() if self._inputs.golden else nullcontext()

    def _one(self, part: str, sample: Sample) -> dict[str, Tensor]:
        leaves = {id(leaf): leaf for leaf in sample.leaves if leaf.requires_grad}
        before = self._operands.get(part)
        result = self._operator(*sample.arguments, **sample.keywords)
        self._wait()
        form_only = self._form_only or sample.draws
        plain = {f"{part}.{k}": _on_host(value, form_only) for k, value in enumerate(_leaves(result)) if value is not None}
        if before is not None and not form_only:
            plain |= _picked(plain, before)
        if not leaves or form_only:
            return plain
        results = [r for r in _leaves(sample.differentiated(result)) if isinstance(r, Tensor) and r.requires_grad]
        if not results:
            return plain
        real = [torch.view_as_real(r.resolve_conj()) if r.is_complex() else r for r in results]
        gradients = torch.autograd.grad(real, list(leaves.values()), [self._cotangent(r) for r in real], allow_unused=True)
        self._wait()
        return plain | {f"{part}.grad{k}": _on_host(gradient) for k, gradient in enumerate(gradients) if gradient is not None}

    def _wait(self) -> None:
        """Let the device finish: what it refuses then is this sample's, and a copy to the host that was not to block has arrived."""
        if self._inputs.device.type != "cpu":
            torch.accelerator.synchronize(self._inputs.device)

    def _forget(self) -> None:
        """Read something of the device, so that no other sample is told of this failure: who waits is told, and who reads once more."""
        if self._inputs.device.type != "cpu":
            with suppress(*_REFUSALS):
                torch.zeros((), device=self._inputs.device).cpu()

    def _cotangent(self, result: Tensor) -> Tensor:
        values = _cotangents(self._inputs.seed, result.numel()).reshape(result.shape)
        return torch.from_numpy(values).to(result.dtype).to(result.device)


def _first(hosts: Sequence[Tensor]) -> Tensor | None:
    """Return the first operand, if it is one of real numbers in which something can be looked up."""
    return hosts[0] if hosts and hosts[0].is_floating_point() and hosts[0].numel() else None


def _picked(results: dict[str, Tensor], operand: Tensor) -> dict[str, Tensor]:
    """Return for each result of indices what they pick of the operand, along every dimension that they fit: `<result>~picked<dim>`.

    Equal values may be sorted, or found, in any order: what was picked tells that from a wrong choice. It is looked up on the host.
    """
    found = {}
    for name, indices in results.items():
        if indices.dtype is not torch.int64:
            continue
        for dim in range(operand.ndim):
            shaped = indices if indices.ndim == operand.ndim else indices.unsqueeze(dim) if indices.ndim == operand.ndim - 1 else None
            if shaped is not None and _fits(shaped, operand, dim):
                found[f"{name}~picked{dim}"] = operand.gather(dim, shaped)
        if indices.ndim == 0 and 0 <= int(indices) < operand.numel():
            found[f"{name}~picked"] = operand.reshape(-1)[indices]
    return found


def _fits(indices: Tensor, operand: Tensor, dim: int) -> bool:
    others = all(a == b for d, (a, b) in enumerate(zip(indices.shape, operand.shape, strict=True)) if d != dim)
    return others and indices.numel() > 0 and int(indices.min()) >= 0 and int(indices.max()) < operand.shape[dim]


@cache
def _drawn(seed: int) -> np.ndarray:
    """Sixteenths up to 4, which every floating dtype holds exactly."""
    return np.clip(np.round(draw_normal(seed, "cotangent", _COTANGENTS) * 16), -64, 64) / 16


def _cotangents(seed: int, count: int) -> np.ndarray:
    return np.resize(_drawn(seed), count)


def _on_host(value: Any, form_only: bool = False) -> Tensor:
    """Return a result as a plain tensor on the host: numbers as tensors, complex numbers as pairs, sparse ones dense."""
    if not isinstance(value, Tensor):  # a word, or a dtype, by its digest
        return torch.tensor(
            value if isinstance(value, (bool, int, float)) else int(hashlib.sha256(str(value).encode()).hexdigest()[:8], 16)
        )
    if form_only:
        return torch.tensor([len(value.shape), *value.shape])
    plain: Tensor = value.detach()
    if plain.layout is not torch.strided:
        plain = plain.to_dense()
    if plain.is_complex():
        plain = torch.view_as_real(plain.resolve_conj())
    return plain.resolve_neg().to("cpu", copy=True)
