"""Two matrices with an activation between, for all rows or for the rows of each expert. Knows no gated activation.

Definition: documentation of torch_npu, npu_ffn. Plain and with quantised weights, the products are summed in float32 and what is between
them has the data type of x; with int8 on both sides the sums are exact, what is between is float16 before it is quantised.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from emulator.operator import Ints, Out, aclnn
from emulator.ops.int_product import scaled, summed

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "fastgelu": lambda x: x * torch.sigmoid(1.702 * x),
}


@dataclass(frozen=True)
class _Side:
    """One of the two products: its weight and all that may go with it, for all experts or for one."""

    weight: Tensor
    bias: Tensor | None
    scale: Tensor | None
    factor: Tensor | None
    shift: Tensor | None

    def of(self, expert: int) -> "_Side":
        bias, scale, factor, shift = (None if part is None else part[expert] for part in (self.bias, self.scale, self.factor, self.shift))
        return _Side(self.weight[expert], bias, scale, factor, shift)

    def product(self, x: Tensor) -> Tensor:
        """x [rows, k] -> [rows, n] in float32."""
        if self.scale is not None:
            return scaled(summed(x, self.weight), self.scale, None, self.bias)
        weight = self.weight.float()
        if self.factor is not None:
            weight = (weight if self.shift is None else weight + self.shift.float()) * self.factor.float()
        return x.float() @ weight + (0.0 if self.bias is None else self.bias.float())


def _ends(tokens: Ints, are_ends: bool, rows: int) -> list[int]:
    ends = list(tokens) if are_ends else torch.tensor(tokens).cumsum(0).tolist()
    if ends[-1] != rows or sorted(ends) != ends:
        raise ValueError(f"the experts' tokens {list(tokens)} do not make up {rows} rows")
    return ends


@aclnn
def FFNV2(
    x: Tensor, weight1: Tensor, weight2: Tensor, tokens: Ints, bias1: Tensor | None, bias2: Tensor | None, scale: Tensor | None,
    offset: Tensor | None, deq_scale1: Tensor | None, deq_scale2: Tensor | None, antiquant_scale1: Tensor | None,
    antiquant_scale2: Tensor | None, antiquant_offset1: Tensor | None, antiquant_offset2: Tensor | None, activation: str, precise: int,
    tokens_are_ends: bool, out: Out,
) -> Tensor:  # fmt: skip
    """x [..., k], weight1 [experts, k, n], weight2 [experts, n, k], or without experts; scale and offset are for what the activation gives.

    `precise` chooses between float32 and float16 inside; here it is float32.
    """
    if activation not in _ACTIVATIONS:
        raise NotImplementedError(f"activation {activation}: covered are {', '.join(_ACTIVATIONS)}")
    if (deq_scale1 is None) != (scale is None):
        raise ValueError("with int8 on both sides, scale and deq_scale go together")
    sides = (
        _Side(weight1, bias1, deq_scale1, antiquant_scale1, antiquant_offset1),
        _Side(weight2, bias2, deq_scale2, antiquant_scale2, antiquant_offset2),
    )
    rows, result = x.reshape(-1, x.shape[-1]), torch.empty(out.shape)
    flat = result.view(-1, out.shape[-1])

    def both(part: slice, first: _Side, second: _Side, factor: Tensor | None, shift: Tensor | None) -> None:
        hidden = first.product(rows[part])
        if factor is None:
            flat[part] = second.product(_ACTIVATIONS[activation](hidden).to(x.dtype))
            return
        values = _ACTIVATIONS[activation](hidden.half().float()) * factor.float() + (0.0 if shift is None else shift.float())
        flat[part] = second.product(values.round().clamp(-128, 127))

    if not tokens:
        both(slice(None), *sides, scale, offset)
        return result
    start = 0
    for expert, end in enumerate(_ends(tokens, tokens_are_ends, len(rows))):
        one = (None if part is None else part[expert] for part in (scale, offset))
        both(slice(start, end), sides[0].of(expert), sides[1].of(expert), *one)
        start = end
    return result
