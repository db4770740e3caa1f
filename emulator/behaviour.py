"""Documented behaviour of Ascend devices that a CPU lacks, each off or on as on the real device. Knows no operator.

It models what is documented, so that code that depends on it takes the same path; it is no model of a device's rounding otherwise.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

_HF32_MANTISSA = 11
_KEEP, _ALLOW_DOWN, _FLOAT16, _HF32 = range(4)

_CANN_NAMES = {
    torch.float32: "DT_FLOAT", torch.float16: "DT_FLOAT16", torch.bfloat16: "DT_BFLOAT16", torch.float64: "DT_DOUBLE",
    torch.complex64: "DT_COMPLEX64", torch.complex128: "DT_COMPLEX128", torch.bool: "DT_BOOL", torch.uint8: "DT_UINT8",
    torch.int8: "DT_INT8", torch.int16: "DT_INT16", torch.int32: "DT_INT32", torch.int64: "DT_INT64",
}  # fmt: skip


def taking(function: Callable[..., Any], *dtypes: torch.dtype) -> Callable[..., Any]:
    """Return a function that refuses a first operand of any other dtype than `dtypes`, in the words in which CANN's operators do.

    For operators whose result torch_npu allocates in a dtype that the values do not have: on a device CANN's own check comes first.
    """

    def call(self: Tensor, *rest: Any, **keywords: Any) -> Any:
        listed(self, *dtypes)
        return function(self, *rest, **keywords)

    return call


def listed(tensor: Tensor, *dtypes: torch.dtype, name: str = "self") -> None:
    """Refuse a tensor of any other dtype than `dtypes` as `taking` does; `name` is what CANN calls it."""
    if tensor.dtype not in dtypes:
        raise RuntimeError(_not_listed(tensor.dtype, dtypes, name))


def _not_listed(dtype: torch.dtype, dtypes: tuple[torch.dtype, ...], name: str = "self") -> str:
    wanted = ",".join(_CANN_NAMES[one] for one in dtypes)
    return f"{name} not implemented for {_CANN_NAMES.get(dtype, dtype)}, should be in dtype support list [{wanted}]"


def cube(math_type: int, *operands: Tensor) -> tuple[Tensor, ...]:
    """Return the operands of a matrix product or convolution as the matrix unit takes them.

    `math_type` is the `cubeMathType` of aclnn's matrix operators: 0 keep, 1 allow less than float32, 2 float16, 3 HF32; torch_npu
    passes 1 where `torch.npu.matmul.allow_hf32` (or `conv.allow_hf32`) is on. HF32 keeps 11 bits of the mantissa, rounded to nearest:
    users measured 12.7 effective bits of float32 products (Jittor pull request 18025). Raises RuntimeError for float64, which the
    unit does not have.
    """
    if any(operand.dtype in (torch.float64, torch.complex128) for operand in operands):
        raise RuntimeError(_not_listed(torch.float64, (torch.float16, torch.float32, torch.bfloat16)))
    if math_type in (_ALLOW_DOWN, _HF32):
        return tuple(hf32(operand) if operand.dtype == torch.float32 else operand for operand in operands)
    if math_type == _FLOAT16:
        return tuple(operand.half().float() if operand.dtype == torch.float32 else operand for operand in operands)
    return operands


def hf32(tensor: Tensor) -> Tensor:
    """Return float32 values rounded to HF32: the mantissa's 11 leading bits, to nearest, ties away from zero; infinity and NaN stay."""
    dropped = 23 - _HF32_MANTISSA
    bits = tensor.contiguous().view(torch.int32)
    rounded = ((bits + (1 << (dropped - 1))) & ~((1 << dropped) - 1)).view(torch.float32)
    return torch.where(torch.isfinite(tensor), rounded, tensor)


@cache
def _overflow_mode() -> "ctypes._FuncPointer":
    return ctypes.CDLL("libascendcl.so").assay_overflow_mode


def saturating() -> bool:
    """Tell whether overflow saturates: INF_NAN_MODE_ENABLE=0, the mode of the first 910 (torch_npu sets it by aclrtSetDeviceSatMode)."""
    return bool(_overflow_mode()() == 0)


def saturate(out: Tensor) -> None:
    """Replace in place infinity by the largest finite value and NaN by 0, as in saturation mode (CANN, INF_NAN_MODE_ENABLE)."""
    if out.dtype in (torch.float16, torch.float32, torch.bfloat16):
        torch.nan_to_num_(out, nan=0.0)
