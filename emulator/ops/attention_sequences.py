"""Where the sequences of a batch lie: side by side, padded, or in pages. Knows no arithmetic of attention."""

from collections.abc import Sequence

from torch import Tensor


def one_of(given: Sequence[int], count: int, name: str) -> list[int]:
    """One length for each sequence, or the same for all."""
    if len(given) == 1:
        return list(given) * count
    if len(given) < count:
        raise ValueError(f"{name} has {len(given)} entries for {count} sequences")
    return list(given[:count])


def following(sizes: Sequence[int]) -> list[slice]:
    """Sequences lie one after the other."""
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def padded(widths: Sequence[int], given: Sequence[int] | None, padding: Tensor | None, name: str) -> list[slice]:
    """Sequences lie at the left of the batch, or `padding` off its right edge; all of it is valid without lengths."""
    if not given:
        return [slice(0, width) for width in widths]
    result = []
    for width, length in zip(widths, one_of(given, len(widths), name), strict=True):
        start = 0 if padding is None else width - max(int(padding), 0) - length
        if start < 0 or start + length > width:
            raise ValueError(f"{name}: {length} and its padding do not fit into {width}")
        result.append(slice(start, start + length))
    return result


def pages(cache: Tensor, table: Tensor, length: int, heads: int, block_size: int) -> Tensor:
    """[N, S, D] of the pages that a row of the block table names; the cache is [pages, S, H] or [pages, N, S, D]."""
    if cache.dim() not in (3, 4):
        raise NotImplementedError(f"paged keys of {cache.dim()} dimensions (the NZ format) are not emulated")
    size = cache.shape[-2]
    if size != block_size:
        raise ValueError(f"pages of {size} keys do not go with block_size {block_size}")
    chosen = cache[table[: -(-length // size)].long()]
    if cache.dim() == 3:
        return chosen.reshape(-1, heads, cache.shape[-1] // heads)[:length].transpose(0, 1)
    return chosen.transpose(0, 1).reshape(heads, -1, cache.shape[-1])[:, :length]
