"""The same values in another place: operands transposed, strided, or inside a larger buffer full of NaN. Knows no operator.

An operator answers for values, not for how they lie in memory. Kernels that ignore strides or a storage offset, or read beyond an
operand, were reported of Ascend more than once (vllm-project/vllm-ascend 12512 and 13797, sgl-project/sglang 29424).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Place = Callable[[Tensor], Tensor]

LAYOUTS = ("transposed", "sliced", "offset")

_OFFSET = 3  # elements; no kernel can hope for an aligned operand


def lay_out(layout: str, tensor: Tensor, place: Place) -> Tensor:
    """Return the host `tensor` on the device with the same shape, dtype and values, as a view of another layout.

    `transposed` swaps the last two dimensions in memory; `sliced` is every second column of a wider buffer; `offset` is contiguous but
    begins inside a buffer. What lies between is NaN, or the largest integer. An empty layout places the tensor as it is.
    Raises ValueError for another word.
    """
    if layout not in ("", *LAYOUTS):
        raise ValueError(f"layout {layout!r} is none of {', '.join(LAYOUTS)}")
    if not layout or tensor.numel() == 0:
        return place(tensor)
    if layout == "transposed":
        return place(tensor.mT.contiguous()).mT if tensor.ndim >= 2 else lay_out("sliced", tensor, place)
    if layout == "sliced":
        if tensor.ndim == 0:
            return lay_out("offset", tensor, place)
        buffer = _poisoned((*tensor.shape[:-1], 2 * tensor.shape[-1]), tensor.dtype)
        buffer[..., ::2] = tensor
        return place(buffer)[..., ::2]
    buffer = _poisoned((tensor.numel() + 2 * _OFFSET,), tensor.dtype)
    buffer[_OFFSET:-_OFFSET] = tensor.reshape(-1)
    return place(buffer)[_OFFSET:-_OFFSET].view(tensor.shape)


def _poisoned(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if dtype is torch.bool:
        return torch.ones(shape, dtype=dtype)
    worst = torch.nan if dtype.is_floating_point or dtype.is_complex else torch.iinfo(dtype).max
    return torch.full(shape, worst, dtype=dtype)
