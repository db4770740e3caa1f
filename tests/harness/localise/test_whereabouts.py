"""The place of an operator, in passes that are made again, several times, without gradients, or broken off."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from harness.localise.whereabouts import Whereabouts
from tests.harness.localise.sides import TOKENS, Block, network


class Listed(TorchDispatchMode):
    def __init__(self, where: Whereabouts) -> None:
        super().__init__()
        self.where, self.seen = where, []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append((func._opname, *self.where.now([a for a in args if isinstance(a, Tensor)])))
        return func(*args, **(kwargs or {}))


def places(work: Any) -> list[tuple[str, str, str]]:
    where = Whereabouts()
    listed = Listed(where)
    with where, listed:
        work()
    return listed.seen


def test_a_backward_operator_is_traced_to_the_module_of_its_forward_one() -> None:
    model = network()
    seen = places(lambda: model(TOKENS).sum().backward())
    assert ("native_layer_norm_backward", "backward", "2.norm") in seen
    assert [path for name, phase, path in seen if name == "_softmax_backward_data"] == ["2", "1"]


def test_a_forward_pass_made_again_for_its_gradients_is_part_of_the_backward_pass() -> None:
    block = Block()
    x = torch.randn(2, 24, requires_grad=True)
    seen = places(lambda: checkpoint(block, x, use_reentrant=False).sum().backward())
    assert [(phase, path) for name, phase, path in seen if name == "native_layer_norm"] == [("forward", "norm"), ("backward", "norm")]


def test_without_gradients_and_outside_of_modules() -> None:
    model = network()

    def work() -> None:
        with torch.no_grad():
            torch.exp(model(TOKENS))

    seen = places(work)
    assert ("native_layer_norm", "forward", "1.norm") in seen
    assert ("exp", "forward", "") in seen


def test_a_module_that_raises_is_left_all_the_same() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("broken")

    def work() -> None:
        with pytest.raises(ValueError, match="broken"):
            Broken()(torch.ones(1))
        torch.exp(torch.ones(1))

    assert places(work)[-1] == ("exp", "forward", "")


def test_gradients_that_are_added_up_are_placed_at_their_parameter() -> None:
    model = network()
    model(TOKENS).sum().backward()
    seen = places(lambda: model(TOKENS).sum().backward())
    assert ("add_", "backward", "2.up.weight") in seen
