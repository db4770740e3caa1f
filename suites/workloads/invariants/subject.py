"""The tiny model that a property is asked of, its text, and how many roundings lie on a way through it. Knows no property."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.inputs import Inputs
from suites.assets.families import VOCABULARY
from suites.assets.language_model import load
from suites.workloads.model import place

BYTES = VOCABULARY - 3  # the marks are left out
PAD = 256


def subject(inputs: Inputs, model: str) -> Any:
    """Return the PreTrainedModel on the device, float32, in evaluation mode; its parts are its family's own, and have no type here."""
    return place(inputs, load(model).module, torch.float32)


def text(inputs: Inputs, rows: int, length: int, name: str = "tokens") -> Tensor:
    """Draw int64 tokens [rows, length] without marks: each as likely as any other, so that rows differ everywhere."""
    return inputs.integers(name, (rows, length), 0, BYTES)


def logits(model: nn.Module, tokens: Tensor, **more: Tensor) -> Tensor:
    """Return float32 logits [batch, length, vocabulary] without a cache."""
    found: Tensor = model(input_ids=tokens, use_cache=False, **more).logits
    return found.float()


def logprobs(scores: Tensor, tokens: Tensor) -> Tensor:
    """Return the log-probabilities [batch, length - 1] of tokens [batch, length] after their first, from all their logits."""
    return functional.log_softmax(scores[:, :-1], -1).gather(-1, tokens[:, 1:, None])[..., 0]


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """Return the gradient of each parameter that requires one, by name; zeros where there is none. Clears what the model held."""
    model.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters() if p.requires_grad}
    model.zero_grad(set_to_none=True)
    return found


def terms(model: Any, length: int, backward: bool = False) -> int:
    """Return at most how many roundings follow upon each other on the way from a token to a logit, three times that for a gradient.

    A matrix adds up as many products as it has columns; attention adds up `length` of them twice a layer, once for the softmax; a norm,
    rotation and activation round a few times, and Sinkhorn's iterations twice each. Matrices that lie side by side are counted as if they
    followed upon each other: too many by a factor of less than two, of which the root counts.
    """
    columns = sum(p.shape[-1] for p in model.parameters() if p.ndim >= 2)
    layers = sum(1 for name, _ in model.named_modules() if name.rpartition(".")[2].isdigit())
    sinkhorn = sum(2 * part.hc_sinkhorn_iters for part in model.modules() if hasattr(part, "hc_sinkhorn_iters"))
    return int(columns + layers * (3 * length + 50) + sinkhorn) * (3 if backward else 1)


@contextmanager
def embedded(model: Any) -> Iterator[list[Tensor]]:
    """Collect what the embedding returns in each forward pass, [batch, length, hidden], with its gradient after a backward pass."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _given: object, output: Tensor) -> Tensor:
        output.retain_grad()
        found.append(output)
        return output

    handle = model.get_input_embeddings().register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()


def parts(model: nn.Module, wanted: Callable[[str], bool]) -> list[tuple[str, Any]]:
    """Return the modules whose class name is wanted, with their names, in order."""
    return [(name, part) for name, part in model.named_modules() if wanted(type(part).__name__)]
