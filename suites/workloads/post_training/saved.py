"""The tensors that autograd keeps for the backward pass, counted while they live. Knows no model and no optimizer."""

from collections import Counter
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.hooks import RemovableHandle


class _Kept:
    """A saved tensor in the hands of the graph; when the graph lets go of it, it is counted off."""

    def __init__(self, book: "Saved", tensor: Tensor, storage: int) -> None:
        self.tensor, self._book, self._storage = tensor, book, storage

    def __del__(self) -> None:
        self._book.released(self._storage)


class Saved:
    """While entered, counts the bytes of storages that autograd keeps: activations, but not the parameters themselves.

    `most` is the most bytes that were kept at once, and `by_layer` what each of `layers` had of them; what belongs to no layer is at the
    end. A storage is counted once, for whoever saved it first. Copies of parameters in another dtype (autocast) count: they are kept, too.
    Tensors on another device than the parameters (counters on the host) do not.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], layers: Sequence[nn.Module] = ()) -> None:
        known = list(parameters)
        self._known = {parameter.untyped_storage().data_ptr() for parameter in known}
        self._device = known[0].device.type
        self._layers, self._inside = layers, len(layers)
        self._uses: Counter[int] = Counter()
        self._owned: dict[int, tuple[int, int]] = {}
        self._live = [0] * (len(layers) + 1)
        self._hooks = saved_tensors_hooks(self._pack, lambda kept: kept.tensor if isinstance(kept, _Kept) else kept)
        self._handles: list[RemovableHandle] = []
        self.by_layer = [0] * (len(layers) + 1)

    @property
    def most(self) -> int:
        """The most bytes that were kept at once."""
        return sum(self.by_layer)

    @property
    def now(self) -> int:
        """The bytes that are kept at present: of graphs that still are."""
        return sum(self._live)

    def __enter__(self) -> Self:
        for index, layer in enumerate(self._layers):
            self._handles.append(layer.register_forward_pre_hook(lambda *_, index=index: self._enter(index)))
            self._handles.append(layer.register_forward_hook(lambda *_: self._enter(len(self._layers))))
        self._hooks.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._hooks.__exit__(kind, error, trace)
        for handle in self._handles:
            handle.remove()

    def _enter(self, index: int) -> None:
        self._inside = index

    def _pack(self, tensor: Tensor) -> object:
        tensor, storage = tensor.detach(), tensor.untyped_storage()  # with its history, an output would hold the node that holds it
        place, size = storage.data_ptr(), storage.nbytes()
        if place in self._known or tensor.device.type != self._device or size == 0:
            return tensor
        self._uses[place] += 1
        if place not in self._owned:
            self._owned[place] = (self._inside, size)
            self._live[self._inside] += size
            if self.now > self.most:
                self.by_layer = list(self._live)
        return _Kept(self, tensor, place)

    def released(self, place: int) -> None:
        """Count a saved tensor off, and its storage with the last that shares it."""
        self._uses[place] -= 1
        if self._uses[place] == 0:
            owner, size = self._owned.pop(place)
            self._live[owner] -= size


def layers_of(model: nn.Module, count: int) -> Sequence[nn.Module]:
    """Return the decoder layers of a model: its first list of that many modules; empty where there is none."""
    return next((list(part) for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count), ())


def bytes_of(tensors: Iterable[Tensor | None]) -> int:
    """Return the bytes of some tensors' elements; of counters (no dimension), which some optimizers keep on the host, none."""
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor) and t.ndim)
