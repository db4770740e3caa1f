"""The device's random numbers: Philox-4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011). Knows no distribution.

A draw is keyed by the (seed, offset) that torch_npu passes: the seed is the key; the counter's low half is the offset, its high half
numbers the blocks of four words. So a seed gives the same numbers again, another offset gives others, and none are drawn twice. CANN
documents this generator and this layout for some operators (cann/ops-math, random/); which block an element takes differs from kernel to
kernel, and from here.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_BLOCKS = 1 << 14  # at once, so that they stay in the cache


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Return the four output words of every counter. Words are 32 bits, held in 64."""
    a, b, c, d = counter
    for number in range(_ROUNDS):
        first, second = (np.uint64(half + number * weyl & 0xFFFFFFFF) for half, weyl in zip(key, _WEYL, strict=True))
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = right >> _HALF ^ b ^ first, right & _LOW, left >> _HALF ^ d ^ second, left & _LOW
    return a, b, c, d


def words(count: int, seed: int, offset: int) -> Words:
    """Return the first `count` 32-bit words of the sequence of (seed, offset), each held in 64 bits."""
    blocks = -(-count // 4)
    drawn = np.empty((blocks, 4), np.uint64)
    key = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    for start in range(0, blocks, _BLOCKS):
        number = np.arange(start, min(start + _BLOCKS, blocks), dtype=np.uint64)
        low, high = np.full_like(number, offset & 0xFFFFFFFF), np.full_like(number, offset >> 32 & 0xFFFFFFFF)
        for place, word in enumerate(philox((low, high, number & _LOW, number >> _HALF), key)):
            drawn[start : start + _BLOCKS, place] = word
    return drawn.reshape(-1)[:count]


def long_words(count: int, seed: int, offset: int) -> Words:
    """Return `count` words of 64 bits: each the pair of two words of the sequence, the first low."""
    pairs = words(2 * count, seed, offset).reshape(-1, 2)
    return pairs[:, 0] | pairs[:, 1] << _HALF


def uniform(count: int, seed: int, offset: int) -> NDArray[np.float64]:
    """Return `count` numbers of [0, 1), multiples of 2**-32."""
    return words(count, seed, offset).astype(np.float64) * 2.0**-32
