"""Matrix products: operands as the matrix unit takes them (behaviour.cube), arithmetic of the CPU. Knows no quantised product.

An operator of a weight in the blocked format NZ gets its elements as any other: formats are not modelled.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from emulator.behaviour import cube
from emulator.operator import Int8, Int32, Ints, Out, Scalar, aclnn, named, plain

_REDUCED = (torch.float16, torch.bfloat16)


def operands(math_type: int, out: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
    """Return the operands as the unit takes them, widened where reduced precision is to be accumulated into a float32 output."""
    taken = cube(math_type, *given)
    return tuple(one.float() if out.dtype == torch.float32 and one.dtype in _REDUCED else one for one in taken)


def _product(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
    @named(f"aclnn{name}")
    def run(self: Tensor, other: Tensor, out: Out, math_type: Int8) -> Tensor:
        return function(*operands(math_type, out, self, other))


def _sum_of_product(name: str, function: Callable[..., Tensor]) -> None:
    @named(f"aclnn{name}")
    def run(self: Tensor, one: Tensor, other: Tensor, beta: Scalar, alpha: Scalar, out: Out, math_type: Int8) -> Tensor:
        left, right = operands(math_type, out, one, other)
        return function(self.to(left.dtype), left, right, beta=beta, alpha=alpha)


for _name, _function in (
    ("Mm", torch.mm), ("Matmul", torch.matmul), ("MatmulWeightNz", torch.matmul), ("Mv", torch.mv),
    ("BatchMatMul", torch.matmul), ("BatchMatMulWeightNz", torch.bmm),  # BatchMatMul broadcasts a batch of one
):  # fmt: skip
    _product(_name, _function)
for _name in ("Addmm", "AddmmWeightNz"):
    _sum_of_product(_name, torch.addmm)
_sum_of_product("Baddbmm", torch.baddbmm)
_sum_of_product("Addbmm", torch.addbmm)
plain("Addr", "tttsso", lambda self, one, other, beta, alpha: torch.addr(self, one, other, beta=beta, alpha=alpha))
plain("InplaceAddr", "ottss", lambda self, one, other, beta, alpha: torch.addr(self, one, other, beta=beta, alpha=alpha))
plain("Dot", "tto", lambda one, other: torch.dot(*cube(0, one, other)))


@aclnn
def InplaceAddmm(self: Out, one: Tensor, other: Tensor, beta: Scalar, alpha: Scalar, math_type: Int8) -> Tensor:
    left, right = operands(math_type, self, one, other)
    return torch.addmm(self.to(left.dtype), left, right, beta=beta, alpha=alpha)


@aclnn
def Addmv(self: Tensor, matrix: Tensor, vector: Tensor, alpha: Scalar, beta: Scalar, out: Out, math_type: Int8) -> Tensor:
    left, right = operands(math_type, out, matrix, vector)
    return torch.addmv(self.to(left.dtype), left, right, beta=beta, alpha=alpha)


@aclnn
def FusedMatmul(one: Tensor, other: Tensor, bias: Tensor | None, third: Tensor | None, fused: str, math_type: Int8, out: Out) -> Tensor:
    """OP(one @ other + bias, third): OP by name, none, 16cast32 (float32 result), add, mul, gelu_erf, gelu_tanh or relu (aclnnFusedMatmul).

    The sum of products goes through OP in float32 where math_type is 4 (high precision), and in the operands' type otherwise.
    """
    wide = math_type == 4 or fused == "16cast32"
    left, right = (x.float() if wide else x for x in cube(0 if math_type == 4 else math_type, one, other))
    product = torch.matmul(left, right)
    if bias is not None:
        product = product + bias.to(product.dtype)
    if fused in ("add", "mul"):
        if third is None:
            raise ValueError(f"{fused} needs x3")
        return product + third if fused == "add" else product * third
    if fused in ("gelu_erf", "gelu_tanh"):
        return torch.nn.functional.gelu(product, approximate="tanh" if fused == "gelu_tanh" else "none")
    if fused not in ("", "16cast32", "relu"):
        raise ValueError(f"no fused operation {fused!r}")
    return torch.relu(product) if fused == "relu" else product


@aclnn
def TransposeBatchMatMul(
    one: Tensor, other: Tensor, bias: Tensor | None, scale: Tensor | None, perm_one: Ints, perm_other: Ints, perm_out: Ints,
    math_type: Int8, split: Int32, out: Out,
) -> Tensor:  # fmt: skip
    """The batched product of operands permuted to (batch, m, k) and (batch, k, n), permuted in its turn (page npu_transpose_batchmatmul).

    The documented permutation gives (m, batch, n); `split` cuts it in (split, m, batch * n / split).
    Raises NotImplementedError: a bias, which no device takes; a scale, which makes the result int8.
    """
    if bias is not None or scale is not None:
        raise NotImplementedError("bias and scale are not emulated")
    left, right = operands(math_type, out, one, other)
    product = torch.bmm(left.permute(perm_one), right.permute(perm_other)).permute(perm_out)
    if split == 1:
        return product
    return product.reshape(product.shape[0], split, -1).transpose(0, 1)


named("aclnnTransposeBatchMatMulWeightNz")(TransposeBatchMatMul)


@aclnn
def AddLora(
    y: Tensor, x: Tensor, weight_b: Tensor, indices: Tensor, weight_a: Tensor | None,
    layer: int, scale: float, offset: int, size: int, out: Out,
) -> Tensor:  # fmt: skip
    """y[:, offset : offset + size] += x @ A^T @ B^T * scale, row by row with the weights that `indices` names (aclnnAddLora).

    y (batch, h3), x (batch, h1), A (weights, layers, r, h1), B (weights, layers, h2, r), indices (batch,), -1 for a row without.
    Without A, x is multiplied by B alone.
    """
    product = x.unsqueeze(1)
    for weight in (weight_a, weight_b):
        if weight is not None:
            chosen = torch.cat([weight[:, layer], torch.zeros_like(weight[:1, layer])])[indices.long()]
            product = torch.bmm(product, chosen.mT)
    result = y.clone()
    result[:, offset : offset + size] += product.squeeze(1) * scale
    return result
