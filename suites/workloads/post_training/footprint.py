"""Where the memory of a training step goes: weights, gradients, optimizer states, activations, and how each grows. Knows no device.

The golden of these cases is no evaluation in float64 but the count from the configuration (`reference/anatomy.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from harness.case import Case, Scalar, Step
from harness.checks.footprint import Footprint
from harness.inputs import Inputs
from reference import flops
from suites.assets.corpus import token_batches
from suites.assets.families import FAMILIES, PREFIX
from suites.assets.language_model import load
from suites.workloads.model import arithmetic, place, refuse_dropout
from suites.workloads.post_training.costs import costs
from suites.workloads.post_training.loop import Objective, train
from suites.workloads.post_training.saved import Saved, bytes_of, layers_of
from suites.workloads.post_training.sft import next_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WORD = 4  # bytes of a float32: weights, gradients and both moments of AdamW (Kingma and Ba, arXiv 1412.6980)
_ROWS, _LONGEST = 4, 2  # growth is measured with up to so many rows, and rows of up to so many times the case's length


def footprint(inputs: Inputs, /, *, model: str, batch: int, length: int, steps: int) -> Step:
    """Train every weight as `sft` does, `steps` times, and say what the step keeps in memory.

    Outputs, int64 [] in bytes: `weights`, `gradients` and `optimizer` as the tensors themselves have them (AdamW's two moments; its
    counters of steps are left out). The details `costs` have `memory`: these, `activations` (the most that autograd kept at once),
    `layers` (what each layer, and at the end the rest, has of them), `batch` and `length` (how they grow: see `_growth`), and `allocator`:
    the framework's own figures with the weights placed and after a step, where it has any. Raises AssayError: model not to be loaded,
    with dropout, or not described in `reference.anatomy`.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    tokens = inputs.given("tokens", token_batches(language_model.tokenizer, _ROWS, _LONGEST * length, 1))[0]
    empty = inputs.allocated()
    module = place(inputs, language_model.module, torch.float32)
    counts, reached = flops.parameters(module.config), flops.trained(module.config, length)
    if inputs.golden:
        counted = {"weights": _WORD * counts.total, "gradients": _WORD * reached, "optimizer": 2 * _WORD * reached}
        return Step(lambda: _tensors(counted), finish=None)
    allocator = {"weights": _difference(inputs.allocated(), empty)}
    step = train(
        inputs,
        module,
        [{"tokens": tokens[:batch, :length]}],
        Objective(next_token, tokens=batch * length),
        learning_rate=1e-3,
        sketches=False,
    )
    layers = layers_of(module, module.config.num_hidden_layers)
    memory: dict[str, object] = {}

    def call() -> Mapping[str, Tensor]:
        with _noticed() as optimizers, Saved(module.parameters(), layers) as saved:
            step.call()
        states = [tensor for optimizer in optimizers for state in optimizer.state.values() for tensor in state.values()]
        parts = {
            "weights": bytes_of(module.parameters()), "gradients": bytes_of(p.grad for p in module.parameters()),
            "optimizer": bytes_of(states),
        }  # fmt: skip
        allocator["step"] = _difference(inputs.allocated(), empty)
        memory.update({**parts, "activations": saved.most, "layers": saved.by_layer})
        return _tensors(parts)

    def grown() -> Mapping[str, Tensor]:
        memory.update(_growth(inputs, module, layers, tokens, batch, length))
        return {}

    def details() -> Mapping[str, object]:
        known = {name: size for name, size in allocator.items() if size is not None}
        return {"costs": {**costs(module.config, batch, length), "memory": {**memory, "allocator": known}}}

    return Step(call, work=batch * length, unit="tokens", finish=grown, details=details)


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


def _tensors(parts: Mapping[str, int]) -> dict[str, Tensor]:
    return {name: torch.tensor(size, dtype=torch.int64) for name, size in parts.items()}


@contextmanager
def _noticed() -> Iterator[list[Optimizer]]:
    """Collect the optimizers that take a step: the loop keeps its own to itself."""
    seen: list[Optimizer] = []
    handle = register_optimizer_step_post_hook(lambda optimizer, *_: seen.append(optimizer))
    try:
        yield seen
    finally:
        handle.remove()


def _growth(
    inputs: Inputs, model: PreTrainedModel, layers: Sequence[nn.Module], tokens: Tensor, batch: int, length: int
) -> Mapping[str, object]:
    """Return how activations grow: with `batch` as [bytes, bytes a row], with `length` as [bytes, bytes a token, bytes a token squared].

    These are least-squares fits, each with `misfit`, the largest deviation as a share. They are measured by forward passes alone.
    """

    def kept(rows: int, columns: int) -> int:
        model.zero_grad(set_to_none=True)
        with Saved(model.parameters(), layers) as saved, arithmetic(inputs, mixed=True):
            next_token(model, {"tokens": tokens[:rows, :columns]})
        return saved.most

    rows = {n: kept(n, length) for n in range(1, _ROWS + 1)}
    columns = {n: kept(batch, n) for n in (length // 2, length, 3 * length // 2, _LONGEST * length)}
    return {"batch": _fit(rows, 1), "length": _fit(columns, 2)}


def _fit(points: Mapping[int, int], degree: int) -> dict[str, object]:
    """Return the least-squares polynomial, lowest power first, and the largest deviation from it as a share of what was measured."""
    x, y = np.array(list(points), dtype=np.float64), np.array(list(points.values()), dtype=np.float64)
    fitted = np.polynomial.Polynomial.fit(x, y, degree).convert()
    return {
        "points": {str(n): size for n, size in points.items()},
        "fit": fitted.coef.tolist(),
        "misfit": float(np.max(np.abs(fitted(x) / y - 1))),
    }


def _cases() -> tuple[Case, ...]:
    params: dict[str, Scalar] = {"batch": 2, "length": 64, "steps": 2}  # the second step has the peak: only then are there optimizer states
    return tuple(
        Case(
            f"post_training/footprint/{family}[{dtype}]", "post_training", footprint, dtype, (Footprint(),),
            {"model": PREFIX + family, **params}, rounds=2,
            golden_of=None if dtype == "float32" else f"post_training/footprint/{family}[float32]",
        )
        for family in FAMILIES for dtype in ("float32", "bfloat16")
    )  # fmt: skip


CASES = _cases()
