"""Functions of one tensor: the same bits as on the CPU, as a new tensor and in place."""

import pytest
import torch
from torch import Tensor

from tests.emulator.agree import agree

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
IN_PLACE_TOO = (
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "sin", "sinc", "sinh", "tan", "tanh", "ceil", "floor", "frac"),
    *("erf", "erfc", "erfinv", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sigmoid", "sqrt"),
    *("abs", "logical_not", "nan_to_num", "neg", "round", "sgn", "sign", "square", "trunc"),
)
NEW_ONLY = ("isfinite", "isinf", "isnan", "isneginf", "isposinf", "signbit", "angle", "positive")
OF_INTEGERS = ("abs", "neg", "sign", "sgn", "floor", "ceil", "bitwise_not", "logical_not", "isfinite", "signbit", "square", "sin", "sqrt")
SPECIAL = (0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 2.5, 1e-7, 60000.0, float("inf"), float("-inf"), float("nan"))


def values(dtype: torch.dtype) -> Tensor:
    """Return small and special numbers, in a layout without order."""
    drawn = torch.randn(60, generator=torch.Generator().manual_seed(0))
    return torch.cat([drawn, torch.tensor(SPECIAL)]).to(dtype).view(8, 9).t()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", IN_PLACE_TOO + NEW_ONLY)
def test_floating(name: str, dtype: torch.dtype) -> None:
    agree(getattr(torch, name), values(dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", IN_PLACE_TOO)
def test_in_place(name: str, dtype: torch.dtype) -> None:
    agree(getattr(torch.Tensor, f"{name}_"), values(dtype))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.int8], ids=str)
@pytest.mark.parametrize("name", OF_INTEGERS)
def test_integers(name: str, dtype: torch.dtype) -> None:
    agree(getattr(torch, name), torch.arange(-4, 5).to(dtype))


@pytest.mark.parametrize("name", ["abs", "angle", "sgn", "exp", "sqrt", "tanh", "neg", "conj", "real"])
def test_complex(name: str) -> None:
    agree(lambda x: getattr(torch, name)(x).resolve_conj().clone(), torch.complex(torch.linspace(-2, 2, 7), torch.linspace(1, 3, 7)))


@pytest.mark.parametrize("decimals", [-1, 0, 2])
@pytest.mark.parametrize("name", ["round", "round_"])
def test_rounding_to_decimals(name: str, decimals: int) -> None:
    agree(lambda x: getattr(x, name)(decimals=decimals), torch.linspace(-30, 30, 41))


@pytest.mark.parametrize("name", ["nan_to_num", "nan_to_num_"])
def test_replacements_of_special_values(name: str) -> None:
    agree(lambda x: getattr(x, name)(1.5, 2.5, -3.5), values(torch.float32))


def test_sign_of_truth() -> None:
    agree(torch.sign, torch.tensor([True, False]))


@pytest.mark.parametrize("name", ["exp", "erf", "erfc", "logit"])
def test_what_cann_takes_in_no_narrow_integer(name: str) -> None:
    with pytest.raises(RuntimeError, match="self not implemented for DT_INT16, should be in dtype support list"):
        getattr(torch, name)(torch.arange(3, dtype=torch.int16).npu()).cpu()
