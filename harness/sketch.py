"""A tensor of any size as a few numbers from which distances can be told: the Count Sketch. Knows no model and no check.

Count Sketch (Charikar, Chen, Farach-Colton, ICALP 2002), one row: element i is added, with the sign s(i), to bucket h(i). It is
linear, so sketch(a) - sketch(b) is the sketch of a - b, and E ||sketch(x)||^2 = ||x||^2 with

    Var ||sketch(x)||^2 = 2 / width * (||x||_2^4 - ||x||_4^4)        (Weinberger et al., ICML 2009, lemma 2, for x = x')

so the squared norm has a relative standard deviation of at most sqrt(2 / width), and the norm of about half of that,
sqrt(1 / (2 width)): 4.4 % at 256 buckets. h and s are 16 bits an element of a portable integer generator, so that any two
machines make the same sketch of the same tensor.
"""

import numpy as np
import torch
from torch import Tensor

from harness.inputs import draw_bits

WIDTH = 256
_WORDS = 1 << 14  # words drawn at a time, for four elements each: the temporaries stay in a core's cache


def sketch(tensor: Tensor, name: str, width: int = WIDTH) -> Tensor:
    """Return the float64 sketch [width] of a floating tensor of any shape, dtype and device, computed on the host.

    `name` chooses the hash: only sketches of the same name, width and number of elements may be compared. A tensor of at most
    `width` elements is returned itself, flattened and padded with zeros. Elements are added in order, one after the other, so
    the result has the same bits everywhere. A NaN or an infinity makes its bucket non-finite. `width` is a power of two up to 32768.
    """
    if width & (width - 1) or not 0 < width <= 1 << 15:
        raise ValueError(f"the width of a sketch is a power of two up to 32768, not {width}")
    flat = tensor.detach().cpu().reshape(-1)
    if flat.numel() <= width:
        exact = torch.zeros(width, dtype=torch.float64)
        exact[: flat.numel()] = flat
        return exact
    sums = np.zeros(2 * width)  # buckets of positive sign, then those of negative sign: cheaper than multiplying by signs
    for word in range(0, -(-flat.numel() // 4), _WORDS):
        values = flat[4 * word : 4 * (word + _WORDS)].double().numpy()
        sums += np.bincount(_buckets(name, word, len(values), width), weights=values, minlength=2 * width)
    return torch.from_numpy(sums[:width] - sums[width:])


def _buckets(name: str, word: int, count: int, width: int) -> np.ndarray:
    """Return for `count` elements, from word `word` of the stream on, the bucket, plus `width` where the sign is negative."""
    bits = draw_bits(0, f"sketch:{name}", -(-count // 4), word).astype("<u8", copy=False).view("<u2")[:count]
    buckets: np.ndarray = (bits & np.uint16(2 * width - 1)).astype(np.intp)
    return buckets
