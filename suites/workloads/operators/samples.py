"""Call an operator on many samples, forward and backward, and keep what each gives or why it refused. Knows no operator and no device."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from harness.devices.refusals import says_unsupported
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

    def leaves(self) -> list[Tensor]:
        """Return its tensors, in order."""
        return [leaf for leaf in tree_leaves((self.arguments, self.keywords)) if isinstance(leaf, Tensor)]

    def with_leaves(self, tensors: Iterator[Tensor]) -> "Sample":
        """Return the same call with its tensors taken from `tensors`."""
        leaves, spec = tree_flatten((self.arguments, self.keywords))
        arguments, keywords = tree_unflatten([next(tensors) if isinstance(leaf, Tensor) else leaf for leaf in leaves], spec)
        return replace(self, arguments=arguments, keywords=keywords)

    def tried(self, operator: Callable[..., Any]) -> "Sample":
        """Return the same sample, knowing whether `operator` draws random numbers for it; that is found out on copies of host tensors."""
        copy = self.with_leaves(iter([leaf.detach().clone() for leaf in self.leaves()]))
        with suppress(*_REFUSALS), Draws() as draws:
            operator(*copy.arguments, **copy.keywords)
        return replace(self, draws=draws.seen)

    def words(self) -> str:
        """Return the call as a reader would write it, shapes instead of values."""
        given = [*(_word(a) for a in self.arguments), *(f"{k}={_word(v)}" for k, v in self.keywords.items())]
        return f"({', '.join(given)})"


def _word(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(_word(v) for v in value)})"
    return repr(value) if isinstance(value, (int, float, bool, str, type(None), torch.dtype)) else type(value).__name__


class Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class has no types here
    """Notices whether an operator that passes takes numbers from the host's generator; attention may, and without dropout does not."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
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
        placed = iter(inputs.given_all("samples", [leaf for sample in samples for leaf in sample.leaves()]))
        self._samples = [sample.with_leaves(placed) for sample in samples]
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
                first = first or error
                self.raised[part] = {
                    "unsupported": says_unsupported(error),
                    "message": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
                }
        if first and len(self.raised) == len(self._samples) and all(said["unsupported"] for said in self.raised.values()):
            raise first
        return outputs

    def details(self) -> dict[str, object]:
        """Return which samples raised, in the device's words, and each call in words."""
        return {"raised": self.raised, "samples": [sample.words()[:200] for sample in self._samples]}

    def _arithmetic(self) -> AbstractContextManager[None]:
        return by_default() if self._inputs.golden else nullcontext()

    def _one(self, part: str, sample: Sample) -> dict[str, Tensor]:
        leaves = {id(leaf): leaf for leaf in sample.leaves() if leaf.requires_grad}
        result = self._operator(*sample.arguments, **sample.keywords)
        self._arrive(result)
        form_only = self._form_only or sample.draws
        plain = {f"{part}.{k}": _on_host(value, form_only) for k, value in enumerate(tree_leaves(result)) if value is not None}
        if not leaves or form_only:
            return plain
        results = [r for r in tree_leaves(sample.differentiated(result)) if isinstance(r, Tensor) and r.requires_grad]
        if not results:
            return plain
        real = [torch.view_as_real(r.resolve_conj()) if r.is_complex() else r for r in results]
        gradients = torch.autograd.grad(real, list(leaves.values()), [self._cotangent(r) for r in real], allow_unused=True)
        return plain | {f"{part}.grad{k}": _on_host(gradient) for k, gradient in enumerate(gradients) if gradient is not None}

    def _arrive(self, result: Any) -> None:
        """Wait for what is on its way to the host: a copy that is not to block may be read only when the device has finished."""
        away = self._inputs.device.type != "cpu"
        if away and any(isinstance(leaf, Tensor) and leaf.device.type == "cpu" for leaf in tree_leaves(result)):
            torch.accelerator.synchronize(self._inputs.device)

    def _cotangent(self, result: Tensor) -> Tensor:
        values = _cotangents(self._inputs.seed, result.numel()).reshape(result.shape)
        return torch.from_numpy(values).to(result.dtype).to(result.device)


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
