"""Caches of keys and values in whatever layout a family has: made, read, joined and parted. Knows no case and no device.

transformers keeps a cache as a list of layers, each with tensors [batch, ...] and counters of its own: keys and values, of sparse attention
the indexer's keys, of DeepSeek-V4 also compressed entries and what is still to be compressed. They are taken as they are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

DYNAMIC, STATIC = "dynamic", "static"

#: Kinds of model for whose layers transformers has no static cache.
WITHOUT_STATIC = ("deepseek_v4",)


def new_cache(module: PreTrainedModel, kind: str, room: int) -> Cache:
    """Return an empty cache of that kind; a static one has `room` places. Raises NotImplementedError where the family has none."""
    from transformers import DynamicCache, StaticCache

    if kind == DYNAMIC:
        return DynamicCache(config=module.config)
    if module.config.model_type in WITHOUT_STATIC:
        raise NotImplementedError(f"{module.config.model_type}: transformers has no static cache for its layers")
    return StaticCache(config=module.config, max_cache_len=room)


def contents(cache: Cache) -> dict[str, Tensor]:
    """Return what a cache holds as `cache/<layer>/<what>`, floating, fresh; of a static one as far as it is filled."""
    found = {}
    for number, layer in enumerate(cache.layers):
        filled = getattr(layer, "cumulative_length", None) if hasattr(layer, "max_cache_len") else None
        for name, tensor in _tensors(layer):
            if tensor.is_floating_point() and tensor.numel():
                whole = tensor if filled is None else tensor.narrow(-2, 0, int(filled))
                found[f"cache/{number:02d}/{name}"] = whole.detach().clone()
    return found


def bytes_of(cache: Cache) -> int:
    """Return the bytes of memory that a cache's floating tensors take, each storage once."""
    storages = {}
    for layer in cache.layers:
        for _, tensor in _tensors(layer):
            if tensor.is_floating_point() and tensor.numel():
                storages[tensor.untyped_storage().data_ptr()] = tensor.numel() * tensor.element_size()
    return sum(storages.values())


def joined(caches: Sequence[Cache]) -> Cache:
    """Return one cache whose batch has the rows of all, which hold equally many tokens; the tensors are new."""
    first = _copied(caches[0], lambda tensor: tensor)
    for layer, *others in zip(first.layers, *(cache.layers for cache in caches), strict=True):
        _change(layer, lambda get, others=others: torch.cat([get(other) for other in others]))  # type: ignore[misc]
    return first


def parted(cache: Cache, rows: int) -> list[Cache]:
    """Return a cache for each of the first `rows` rows; the tensors are new."""
    return [_copied(cache, lambda tensor, row=row: tensor[row : row + 1].clone()) for row in range(rows)]  # type: ignore[misc]


def copied(cache: Cache) -> Cache:
    """Return a cache of its own with the same content: what is added to one does not show in the other."""
    return _copied(cache, torch.clone)


def _copied(cache: Cache, act: Callable[[Tensor], Tensor]) -> Cache:
    made = copy(cache)
    made.layers = [copy(layer) for layer in cache.layers]
    for layer in made.layers:
        for name, value in vars(layer).items():
            if isinstance(value, dict):
                setattr(layer, name, dict(value))
        _change(layer, lambda get, layer=layer: act(get(layer)))  # type: ignore[misc]
    return made


def _change(layer: Any, new: Callable[[Callable[[Any], Tensor]], Tensor]) -> None:
    """Replace each tensor with a batch by what `new` returns, given how to get it from a layer."""
    for name, value in list(vars(layer).items()):
        if isinstance(value, Tensor) and value.ndim > 1:
            setattr(layer, name, new(lambda one, name=name: getattr(one, name)))  # type: ignore[misc]
        elif isinstance(value, dict):
            for key, part in value.items():
                if isinstance(part, Tensor) and part.ndim > 1:
                    value[key] = new(lambda one, name=name, key=key: getattr(one, name)[key])  # type: ignore[misc]


def _tensors(layer: Any) -> Iterator[tuple[str, Tensor]]:
    for name, value in vars(layer).items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, dict):
            yield from ((f"{name}.{key}", part) for key, part in value.items() if isinstance(part, Tensor))
