"""Sequences of queries and of the keys they may see, as the operators of DeepSeek's sparse attention take them. Knows no score.

Layouts: BSND [batch, length, heads, width], TND [all lengths, heads, width] with the places where sequences end, PA_BSND keys in pages
[pages, page, heads, width] that a block table [batch, pages of the sequence] names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_DENSE, _CAUSAL = 0, 3
_MANY = 1 << 24  # numbers in one piece of work


def _listed(lengths: Tensor | Sequence[int] | None) -> list[int] | None:
    if lengths is None:
        return None
    return [int(value) for value in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)] or None


def _places(layout: str, tensor: Tensor, lengths: list[int] | None) -> list[Any]:
    """Return for each sequence the index of its rows."""
    if layout == "BSND":
        given = lengths or [tensor.shape[1]] * len(tensor)
        return [(index, slice(0, length)) for index, length in enumerate(given)]
    if layout != "TND":
        raise ValueError(f"layout {layout!r} is none of BSND, TND")
    if lengths is None:
        raise ValueError("TND needs the places where sequences end")
    return [slice(start, end) for start, end in zip([0, *lengths[:-1]], lengths, strict=True)]


@dataclass(frozen=True)
class Pair:
    """A sequence of queries and one of keys: where they lie, how many they are, and which keys a query may see."""

    queries: Any
    rows: int
    keys: Any
    length: int
    mode: int
    pages: Tensor | None = None

    def of_keys(self, tensor: Tensor) -> Tensor:
        """Return the sequence's keys [length, ...], of pages a copy."""
        if self.pages is None:
            return tensor[self.keys]
        return tensor[self.pages].flatten(0, 1)[: self.length]

    def seen(self, rows: slice) -> Tensor:
        """Return how many of the first keys each of the given queries may see."""
        index = torch.arange(self.rows)[rows]
        if self.mode == _DENSE:
            return torch.full_like(index, self.length)
        return (index + 1 + self.length - self.rows).clamp(0, self.length)

    def pieces(self, width: int) -> Iterator[slice]:
        """Cut the queries so that `width` numbers for each of them are no great matter."""
        step = max(_MANY // max(width, 1), 1)
        for start in range(0, self.rows, step):
            yield slice(start, min(start + step, self.rows))


def pairs(
    query: Tensor, key: Tensor, layouts: tuple[str, str], query_lengths: Tensor | Sequence[int] | None,
    key_lengths: Tensor | Sequence[int] | None, table: Tensor | None, mode: int,
) -> list[Pair]:  # fmt: skip
    """Return the pairs of sequences. mode 0: a query sees all keys; 3: the last query sees all, each before it one less."""
    if mode not in (_DENSE, _CAUSAL):
        raise ValueError(f"sparse_mode is {mode}; it is 0 (all) or 3 (causal from the lower right)")
    queries = _places(layouts[0], query, _listed(query_lengths))
    lengths = _listed(key_lengths)
    found = []
    if layouts[1] == "PA_BSND":
        if lengths is None or table is None:
            raise ValueError("keys in pages need a block table and lengths")
        for index, place in enumerate(queries):
            count = -(-lengths[index] // key.shape[1])
            found.append(Pair(place, _rows(place), None, lengths[index], mode, table[index, :count].long()))
        return found
    for place, keys in zip(queries, _places(layouts[1], key, lengths), strict=True):
        found.append(Pair(place, _rows(place), keys, _rows(keys), mode))
    return found


def _rows(place: Any) -> int:
    span = place[1] if isinstance(place, tuple) else place
    return int(span.stop - span.start)


def within(place: Any, rows: slice) -> Any:
    """Return the index of some rows of a sequence."""
    span = place[1] if isinstance(place, tuple) else place
    part = slice(span.start + rows.start, span.start + rows.stop)
    return (place[0], part) if isinstance(place, tuple) else part
