"""Products of integers, and the scales, biases and offsets that make real numbers of their sums. Knows no operator."""

import torch
from torch import Tensor

from emulator.ops.packed import unpack
from emulator.ops.quantization import decoded_scale

_WORDS = (torch.int64, torch.uint64)


def is_transposed(matrix: Tensor) -> bool:
    """Tell whether the last two dimensions are a transposed view, as torch_npu tells it."""
    return matrix.dim() > 1 and matrix.stride(-2) == 1 and matrix.stride(-1) == matrix.shape[-2] and matrix.shape[-2:] != (1, 1)


def weight_of(words: Tensor) -> Tensor:
    """Return a weight [..., k, n] in integers; int32 is eight int4, along the dimension that is contiguous."""
    if words.dtype != torch.int32:
        return words
    return unpack(words.mT).mT if is_transposed(words) else unpack(words)


def left_of(x: Tensor) -> Tensor:
    """Return the left operand in integers; int32 is eight int4."""
    return unpack(x) if x.dtype == torch.int32 else x


def summed(x: Tensor, weight: Tensor) -> Tensor:
    """The product of integers, exact, in float64."""
    return x.double() @ weight.double()


def summed_by_group(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """x [m, k] @ (weight [k, n] * scale [groups of k, n]) in float32; the sums of a group are exact."""
    groups, size = len(scale), x.shape[-1] // len(scale)
    left = x.double().reshape(len(x), groups, size).transpose(0, 1)
    sums = left @ weight.double().reshape(groups, size, weight.shape[-1])
    return (sums.float() * scale.float().unsqueeze(1)).sum(0)


def numbers(scale: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return a scale in float32, and the offset that is encoded in it, if it is encoded for the matrix unit."""
    return decoded_scale(scale) if scale.dtype in _WORDS else (scale.float(), None)


def scaled(sums: Tensor, scale: Tensor, by_row: Tensor | None, bias: Tensor | None, offset: Tensor | None = None) -> Tensor:
    """(sums + bias) * scale * by_row + offset in float32. A bias that is no integer is added last, as all the documents have it."""
    early = bias is not None and not bias.is_floating_point()
    values = sums + bias if bias is not None and early else sums
    factor, encoded = numbers(scale)
    result = values.float() * factor
    if by_row is not None:
        result = result * by_row.float().reshape(-1, 1)
    if bias is not None and not early:
        result = result + bias.float()
    if offset is None or encoded is None:
        shift = encoded if offset is None else offset.float()
        return result if shift is None else result + shift
    if not torch.equal(encoded, offset.float().round().clamp(-256, 255).expand(encoded.shape)):
        raise ValueError("the matrix unit takes the offset from the encoded scale, which has another: npu_trans_quant_param(scale, offset)")
    return result + encoded
