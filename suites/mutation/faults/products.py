"""Faults of matrix products. Knows no case.

VA is vllm-project/vllm-ascend, SG sgl-project/sglang.
"""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.arithmetic import HALVES, altered, cast, cut, keep_bits, like
from suites.mutation.registry import fault
from suites.mutation.wrapper import Right

PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::matmul", "aten::mv", "aten::addmv", "aten::dot")
_MATRICES = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::matmul")


def operand_names(right: Right) -> tuple[str, str]:
    """Return the names of the two arguments that are multiplied."""
    names = [name for name, value in right.arguments.items() if isinstance(value, Tensor) and name != "out"]
    return (names[-2], names[-1])


def operands(right: Right) -> tuple[Tensor, Tensor]:
    """Return the two tensors that are multiplied."""
    first, second = operand_names(right)
    return right.arguments[first], right.arguments[second]


def inner_dims(first: Tensor, second: Tensor) -> tuple[int, int]:
    """Return the dimensions of the two operands along which products are summed."""
    return first.ndim - 1, max(second.ndim - 2, 0)


def _of_part(right: Right, pick: Any) -> Any:
    """Return the product of operands from which `pick` selects along the summed dimension."""
    (left, other), (first, second) = operand_names(right), operands(right)
    a, b = inner_dims(first, second)
    return right(**{left: pick(first, a), other: pick(second, b)})


@fault("product-hf32", *PRODUCTS, causes=(Cause.PRECISION,), source="Jittor pull request 18025: float32 products became HF32")
def product_hf32(right: Right, **_: Any) -> Any:
    """Float32 operands lose all but 11 bits of their significands."""
    names, tensors = operand_names(right), operands(right)
    if tensors[0].dtype != torch.float32:
        return right()
    return right(**{name: keep_bits(tensor, 11) for name, tensor in zip(names, tensors, strict=True)})


@fault(
    "product-bfloat16-operands",
    *PRODUCTS,
    causes=(Cause.PRECISION,),
    source="torch_npu: allow_internal_format and matmul in half by default",
)
def product_bfloat16(right: Right, **arguments: Any) -> Any:
    """Float32 operands are multiplied in bfloat16."""
    return like(right(**cast(cast(arguments, torch.bfloat16, (torch.float32,)), torch.float32, (torch.bfloat16,))), right())


@fault(
    "product-partial-sums-in-half",
    *_MATRICES,
    causes=(Cause.PRECISION,),
    source="split-K that rounds each partial sum to the output's type",
)
def product_partial_sums(right: Right, **_: Any) -> Any:
    """Half operands: the sum is split into eight, and every partial sum rounded."""
    names, (first, second) = operand_names(right), operands(right)
    result = right()
    if first.dtype not in HALVES or right.arguments.get("beta", 1) != 1 or right.arguments.get("alpha", 1) != 1:
        return result
    size = max(1, first.shape[-1] // 8)
    pieces = zip(cut(first, size), cut(second, size, -2), strict=True)
    total = right.arguments["self"] if names[0] != "self" else torch.zeros_like(result)
    for a, b in pieces:
        total = (total + torch.matmul(a, b)).to(result.dtype)
    return total


@fault(
    "product-k-tail-lost", *_MATRICES, causes=(Cause.VALUES, Cause.PRECISION), source="VA-15831: a dimension padded to tiles, its rest lost"
)
def product_k_tail(right: Right, **_: Any) -> Any:
    """Of a sum longer than a tile of 16, what lies beyond the last full tile is left out."""
    length = operands(right)[0].shape[-1]
    whole = length - length % 16
    return right() if length <= 16 or length % 16 == 0 else _of_part(right, lambda x, dim: x.narrow(dim, 0, whole))


@fault(
    "product-one-term-lost", *_MATRICES, causes=(Cause.VALUES, Cause.PRECISION), source="a loop that starts its second half one step late"
)
def product_one_term(right: Right, **_: Any) -> Any:
    """The term in the middle of every sum is left out."""
    length = operands(right)[0].shape[-1]
    if length < 3:
        return right()
    kept = torch.tensor([i for i in range(length) if i != length // 2], device=operands(right)[0].device)
    return _of_part(right, lambda x, dim: x.index_select(dim, kept))


@fault("product-last-row-zero", *_MATRICES, causes=(Cause.TAIL,), source="VA-7460: padding counted wrong")
def product_last_row(right: Right, **_: Any) -> Any:
    """The last row is never written."""
    return altered(right(), lambda out: _zero(out, -2))


def _zero(out: Tensor, dim: int) -> Tensor:
    if out.ndim >= 2 and out.shape[dim] > 1:
        out.select(dim, -1).zero_()
    return out


@fault("product-stale-columns", *_MATRICES, causes=(Cause.TAIL,), source="VA-9687: what lies in the padding of a buffer is used")
def product_stale_columns(right: Right, **_: Any) -> Any:
    """Columns beyond the last full tile of 16 hold what the tile before them held."""

    def change(out: Tensor) -> Tensor:
        rest = out.shape[-1] % 16
        if out.ndim >= 2 and rest and out.shape[-1] > 16:
            out.narrow(-1, out.shape[-1] - rest, rest).copy_(out.narrow(-1, out.shape[-1] - 16 - rest, rest).clone())
        return out

    return altered(right(), change)


@fault("product-tile-twice", *_MATRICES, causes=(Cause.TAIL, Cause.SPARSE), source="VA-5522: a workspace shared by two tiles")
def product_tile_twice(right: Right, **_: Any) -> Any:
    """One 16 by 16 tile is added twice."""

    def change(out: Tensor) -> Tensor:
        if out.ndim >= 2 and min(out.shape[-2:]) >= 32:
            out[..., 16:32, 16:32] *= 2
        return out

    return altered(right(), change)


@fault(
    "product-bias-ignored",
    "aten::addmm",
    "aten::baddbmm",
    "aten::addmv",
    causes=(Cause.VALUES,),
    source="VA-9036: an argument dropped on the way",
)
def product_bias(right: Right, self: Tensor, **_: Any) -> Any:
    """What is to be added is not."""
    return right(self=torch.zeros_like(self))


@fault("product-strides-ignored", *_MATRICES, causes=(Cause.LAYOUT, Cause.VALUES), source="VA-13797, VA-12512: an operand read as it lies")
def product_strides(right: Right, **_: Any) -> Any:
    """A transposed second operand that is square is read in the order of its memory."""
    name, second = operand_names(right)[1], operands(right)[1]
    if second.ndim < 2 or second.is_contiguous() or not second.mT.is_contiguous() or second.shape[-1] != second.shape[-2]:
        return right()
    return right(**{name: second.mT})


@fault(
    "product-offset-ignored", *_MATRICES, causes=(Cause.LAYOUT, Cause.IMPURE), source="SG-29424: a slice of a weight read from its start"
)
def product_offset(right: Right, **_: Any) -> Any:
    """An operand that is a view into a larger tensor is read from the beginning of the storage."""
    names, tensors = operand_names(right), operands(right)
    moved = {n: torch.as_strided(t, t.shape, t.stride(), 0) for n, t in zip(names, tensors, strict=True) if t.storage_offset()}
    return right(**moved)


@fault("product-stale-weight", *_MATRICES, causes=(Cause.IMPURE,), source="VA-4939: a cached weight is not refreshed")
def product_stale(right: Right, **_: Any) -> Any:
    """The second operand is remembered by its address when first seen."""
    name, second = operand_names(right)[1], operands(right)[1]
    key = (second.data_ptr(), second.shape, second.stride(), second.dtype)
    return right(**{name: right.state.setdefault(key, second.clone())})


@fault("product-bit-flip", *PRODUCTS, causes=(Cause.UNSTEADY, Cause.SPARSE), source="msprobe guide, torch_npu/asd: silent data corruption")
def product_bit_flip(right: Right, **_: Any) -> Any:
    """Every fifth product has one element that is four times too large."""
    result = right()
    if right.count() % 5 or not result.numel():
        return result
    flipped = result.clone().contiguous()
    flipped.view(-1)[flipped.numel() // 2] *= 4
    return flipped


@fault("product-wanders", *PRODUCTS, causes=(Cause.UNSTEADY,), source="VA-9373, VA-8930: results differ from run to run")
def product_wanders(right: Right, **_: Any) -> Any:
    """Every second result is one unit of the last place larger."""
    odd = right.count() % 2
    return altered(right(), lambda out: out * (1 + torch.finfo(out.dtype).eps) if odd else out)


@fault("product-truncated", *PRODUCTS, causes=(Cause.ROUNDING,), source="rounding modes of cube units: truncation on the way out")
def product_truncated(right: Right, **arguments: Any) -> Any:
    """A result in half precision is cut off instead of rounded."""
    result = right()
    if result.dtype not in HALVES:
        return result
    wide = right(**cast(arguments, torch.float32, HALVES))
    mask = ~0xFFFF if result.dtype == torch.bfloat16 else ~0x1FFF
    return (wide.contiguous().view(torch.int32) & mask).view(torch.float32).to(result.dtype)


@fault("product-saturates", *PRODUCTS, causes=(Cause.SPECIAL,), source="torch_npu: INF_NAN_MODE_ENABLE=0 on the 910A")
def product_saturates(right: Right, **_: Any) -> Any:
    """Overflow gives the largest finite value, and NaN gives 0."""
    return altered(right(), lambda out: torch.nan_to_num(out, nan=0.0))


@fault("product-integers-through-float", *PRODUCTS, causes=(Cause.INTEGERS,), source="torch_npu API notes: int32 beyond 2^24")
def product_integers(right: Right, **arguments: Any) -> Any:
    """Integers are multiplied and summed in float32, in half precision where they fit a byte."""
    result = right()
    if result.is_floating_point() or result.is_complex() or result.dtype == torch.bool:
        return result
    tensors = {n: v.to(torch.float32) for n, v in arguments.items() if isinstance(v, Tensor)}
    return right(**tensors).to(result.dtype)
