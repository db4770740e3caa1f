"""Where in a workload an operator runs: forward, backward or optimizer, and in which module. Knows no operator and no device.

In a forward pass PyTorch's module hooks tell. Every operation that is to be differentiated is numbered, and the node that
computes its gradient bears that number, so that a backward operator is traced to the module of its forward one.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

_ACCUMULATE = "AccumulateGrad"


class Whereabouts:
    """While entered, `now` tells the phase and the path of the operator that is about to run."""

    def __init__(self) -> None:
        self._stack: list[nn.Module] = []
        self._paths: WeakKeyDictionary[nn.Module, dict[int, str]] = WeakKeyDictionary()
        self._of_node: dict[int, str] = {}
        self._numbered = 0
        self._parameters: dict[int, str] = {}
        self._optimizing = False
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        self._handles = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
            register_optimizer_step_pre_hook(self._begin_step),
            register_optimizer_step_post_hook(self._end_step),
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()

    def now(self, operands: Sequence[Tensor]) -> tuple[str, str]:
        """Return the phase ("forward", "backward", "optimizer") and the path: of a module, in the optimizer of a parameter.

        The path is empty outside of any module.
        """
        node: Any = torch._C._current_autograd_node()  # None outside of a backward pass, whatever its stub says
        if node is None:
            path = self.path()
            self._number(path)
            if self._optimizing:
                return "optimizer", next((self._parameters[t.data_ptr()] for t in operands if t.data_ptr() in self._parameters), "")
            return "forward", path
        if self._stack:  # a forward pass made again for its gradients (activation checkpointing)
            return "backward", self.path()
        if _ACCUMULATE in node.name():
            return "backward", self._parameters.get(node.variable.data_ptr(), "")
        return "backward", self._of_node.get(node._sequence_nr(), "")

    def path(self) -> str:
        """Return the path of the module that is running, from the outermost one on; empty for that itself and outside of all."""
        if not self._stack:
            return ""
        return self._names(self._stack[0]).get(id(self._stack[-1]), type(self._stack[-1]).__name__)

    def _number(self, path: str) -> None:
        """Remember the path for the gradient nodes that were numbered since the last operator."""
        upcoming = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        for number in range(max(self._numbered, upcoming - 64), upcoming):
            self._of_node[number] = path
        self._numbered = upcoming

    def _names(self, root: nn.Module) -> dict[int, str]:
        if root not in self._paths:
            self._paths[root] = {id(module): name for name, module in root.named_modules()}
            self._parameters |= {p.data_ptr(): name for name, p in root.named_parameters() if p.numel()}
        return self._paths[root]

    def _enter_module(self, module: nn.Module, _: Any) -> None:
        self._stack.append(module)
        self._names(self._stack[0])

    def _leave_module(self, module: nn.Module, _: Any, __: Any) -> None:
        while self._stack and self._stack.pop() is not module:
            pass

    def _begin_step(self, *_: Any) -> None:
        self._optimizing = True

    def _end_step(self, *_: Any) -> None:
        self._optimizing = False
