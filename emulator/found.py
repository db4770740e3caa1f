"""Outputs whose size only their values tell: torch_npu offers room for the most, and asks for the shape afterwards. Knows no operator."""

import ctypes
from functools import cache

from torch import Tensor


@cache
def _library() -> ctypes.PyDLL:
    return ctypes.PyDLL("libascendcl.so")


def found(place: int, out: Tensor, result: Tensor) -> Tensor:
    """Write `result` to the front of `out`, tell the caller its shape as that of the operator's parameter `place`, and return `out`.

    Raises RuntimeError: the result is larger than `out`.
    """
    if result.numel() > out.numel():
        raise RuntimeError(f"found {list(result.shape)}, more than the {list(out.shape)} that torch_npu has room for")
    out.as_strided((result.numel(),), (1,)).copy_(result.reshape(-1))
    _library().assay_reshape(place, result.dim(), (ctypes.c_int64 * result.dim())(*result.shape))
    return out
