"""A healthy side and one with a fault, both on the CPU, and a tiny module to run on them."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from harness.localise.call import Side
from harness.localise.lockstep import LockStep, Pass
from harness.localise.whereabouts import Whereabouts

CPU = torch.device("cpu")


def wrong(name: str, spoil: Callable[[Any], Any], when: Callable[..., bool] = lambda *_: True) -> Side:
    """A side on which the results of one operator are spoilt."""

    def run(function: Any, positional: Any, keywords: Any) -> Any:
        result = function(*positional, **keywords)
        hit = getattr(function, "name", lambda: function.__name__)() == name and when(*positional)
        return spoil(result) if hit else result

    return Side("wrong", CPU, _unsupported, run)


def raising(name: str, error: Exception) -> Side:
    """A side on which an operator raises."""

    def run(function: Any, positional: Any, keywords: Any) -> Any:
        if function.name() == name:
            raise error
        return function(*positional, **keywords)

    return Side("raising", CPU, _unsupported, run)


def _unsupported(error: BaseException) -> bool:
    return isinstance(error, NotImplementedError)


HEALTHY = Side("healthy", CPU, _unsupported)


class Block(nn.Module):
    """A normalisation, a product, a softmax: small enough to know every operator."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(24), nn.Linear(24, 40), nn.Linear(40, 24)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.softmax(self.up(self.norm(x)), -1))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(16, 24), Block(), Block(), nn.Linear(24, 16))


TOKENS = torch.arange(30).reshape(2, 15) % 13


def train(model: nn.Module) -> None:
    """One step of SGD with momentum."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=False)
    nn.functional.cross_entropy(model(TOKENS).flatten(0, 1), TOKENS.flatten()).backward()
    optimizer.step()


def compared(candidate: Side, work: Callable[[], object], reference: Side = HEALTHY, seconds: float = 60.0, **options: Any) -> Pass:
    """Run some work in step."""
    where = Whereabouts()
    mode = LockStep(candidate, reference, where, time.monotonic() + seconds, lambda *_: None, **options)
    with where, mode:
        work()
    return mode.found
