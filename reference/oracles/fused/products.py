"""Matrix products with quantised operands, in groups of rows, and with what follows them. Knows no device, tile or packing.

Sources: pages of npu_quant_matmul, npu_weight_quant_batchmatmul, npu_quant_matmul_dequant, npu_grouped_matmul and its fusions,
npu_ffn, npu_transpose_batchmatmul, npu_batch_gather_matmul_, npu_linear. Products of integers are exact.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reference.oracles.fused.activations import fast_gelu, gelu, silu
from reference.oracles.fused.quantisation import dynamic_quant, groups_of
from reference.oracles.fused.widening import wide

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "gelu": gelu, "silu": silu, "fastgelu": fast_gelu}


def summed(left: Tensor, right: Tensor) -> Tensor:
    """Return the exact product of integer matrices, int64."""
    return left.long() @ right.long()


def quant_matmul(
    x1: Tensor,
    x2: Tensor,
    scale: Tensor,
    *,
    offset: Tensor | None = None,
    pertoken_scale: Tensor | None = None,
    bias: Tensor | None = None,
    output_dtype: torch.dtype,
) -> Tensor:
    """Return `(x1 x2 + bias) * scale * pertoken_scale` in `output_dtype`, of int8 (a real bias is added last); for int32 the sums.

    For int8 it is `(x1 x2 + bias) * scale + offset` before rounding, within the range.
    """
    sums = summed(x1, x2)
    if bias is not None and not bias.is_floating_point():
        sums = sums + bias
    if output_dtype == torch.int32:
        return sums.int()
    scaled = sums * wide(scale)
    if output_dtype == torch.int8:
        return (scaled if offset is None else scaled + offset).clamp(-128, 127)
    if pertoken_scale is not None:
        scaled = scaled * pertoken_scale[:, None]
    return (scaled if bias is None or not bias.is_floating_point() else scaled + bias).to(output_dtype)


def restored(codes: Tensor, scale: Tensor, offset: Tensor, dim: int = 0) -> Tensor:
    """Return `(codes + offset) * scale`; scale and offset have one or several equal parts along `dim` of the codes."""
    factor, shift = (part.repeat_interleave(codes.shape[dim] // part.shape[dim], dim) for part in (scale, offset))
    return (codes.to(shift.dtype) + shift) * factor


def weight_quant_batchmatmul(x: Tensor, weight: Tensor, scale: Tensor, offset: Tensor, *, bias: Tensor) -> Tensor:
    """Return `x ((weight + offset) * scale) + bias`, scale and offset [groups of rows, columns]."""
    return (x @ restored(weight, scale, offset).to(x.dtype) + bias).to(x.dtype)


def quant_matmul_dequant(x: Tensor, weight: Tensor, weight_scale: Tensor, smooth_scale: Tensor | None = None) -> Tensor:
    """Return `quantised(x) weight^T * weight_scale * step`; rows of x (times smooth) are quantised by `step = max |.| / 127`."""
    y, step = dynamic_quant(x, smooth_scale)
    return ((y.round() @ weight.to(y.dtype).T) * weight_scale * step[:, None]).to(x.dtype)


def split_rows(x: Tensor, ends: Tensor) -> list[Tensor]:
    """Return the rows of each group; `ends` are cumulative."""
    sizes = torch.diff(ends, prepend=ends.new_zeros(1)).tolist()
    return list(torch.split(x, sizes))


def grouped_matmul(x: Tensor, weight: Sequence[Tensor], ends: Tensor, bias: Sequence[Tensor] | None = None) -> Tensor:
    """Return each group's rows times its weight (plus its bias), one below the other."""
    rows = [part @ w for part, w in zip(split_rows(x, ends), weight, strict=True)]
    return torch.cat([row if bias is None else (row + bias[group]).to(x.dtype) for group, row in enumerate(rows)])


def grouped_matmul_of_columns(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """Return [groups, m, n]: the columns of x times the rows of the weight, summed over each group of them."""
    return torch.stack([left.T @ right for left, right in zip(split_rows(x.T, ends), split_rows(weight, ends), strict=True)])


def grouped_quant_matmul(x: Tensor, weight: Tensor, ends: Tensor, scale: Tensor, per_token: Tensor) -> Tensor:
    """Return `x weight * scale * per_token` of int8, the weight [groups, k, n] and scale [groups, n] those of the row's group."""
    rows = torch.cat([summed(part, w) for part, w in zip(split_rows(x, ends), weight, strict=True)])
    return rows * wide(scale)[groups_of(ends, x.shape[0])] * per_token[:, None]


def grouped_matmul_finalize_routing(
    x: Tensor,
    weight: Tensor,
    ends: Tensor,
    scale: Tensor,
    per_token: Tensor,
    logit: Tensor,
    row_index: Tensor,
    shared: Tensor,
    share: float,
    offset: int,
    tokens: int,
) -> Tensor:
    """Return [tokens, n]: each row of the product times its logit, added to token `row_index`; and `share` times the shared rows."""
    rows = grouped_quant_matmul(x, weight, ends, scale, per_token) * logit[:, None]
    out = torch.zeros(tokens, rows.shape[1], dtype=rows.dtype, device=rows.device).index_add(0, row_index, rows)
    out[offset : offset + shared.shape[0]] += share * wide(shared)
    return out


def grouped_matmul_swiglu_quant(x: Tensor, weight: Tensor, ends: Tensor, scale: Tensor, per_token: Tensor) -> tuple[Tensor, Tensor]:
    """Return `SiLU(a) b / step` before rounding, of the halves of the product, and `step = max |.| / 127` of each row."""
    first, second = grouped_quant_matmul(x, weight, ends, scale, per_token).chunk(2, -1)
    return dynamic_quant(silu(first) * second)


def quant_grouped_matmul_dequant(x: Tensor, weight: Tensor, weight_scale: Tensor, ends: Tensor) -> Tensor:
    """As `quant_matmul_dequant`, each row with the weight [groups, n, k] and scale [groups, n] of its group."""
    y, step = dynamic_quant(x)
    rows = torch.cat([part.round() @ w.to(y.dtype).T for part, w in zip(split_rows(y, ends), weight, strict=True)])
    return (rows * weight_scale[groups_of(ends, x.shape[0])] * step[:, None]).to(x.dtype)


def ffn(x: Tensor, first: Tensor, second: Tensor, activation: str, biases: tuple[Tensor, Tensor]) -> Tensor:
    """Return `act(x first + b1) second + b2`."""
    hidden = ACTIVATIONS[activation]((x @ first + biases[0]).to(x.dtype))
    return (hidden @ second + biases[1]).to(x.dtype)


def ffn_of_experts(x: Tensor, first: Tensor, second: Tensor, activation: str, sizes: Sequence[int]) -> Tensor:
    """Return `act(x first[e]) second[e]` of each expert's rows."""
    parts = zip(torch.split(x, list(sizes)), first, second, strict=True)
    return torch.cat([ACTIVATIONS[activation](rows @ one) @ two for rows, one, two in parts])


def transpose_batchmatmul(x: Tensor, weight: Tensor) -> Tensor:
    """Return [m, batch, n] of x [m, batch, k] and weight [batch, k, n]."""
    return torch.einsum("mbk,bkn->mbn", x, weight)


def batch_gather_matmul(
    y: Tensor,
    x: Tensor,
    weight_b: Tensor,
    indices: Tensor,
    weight_a: Tensor,
    layer_idx: int,
    scale: float,
    y_offset: int,
    y_slice_size: int,
) -> Tensor:
    """Return y [rows, h], to whose slice of columns `scale B A x` is added: low-rank weights [adapters, layers, ...] by the row's adapter.

    Rows of adapter -1 stay.
    """
    out, target = y.clone(), slice(y_offset, y_offset + y_slice_size)
    for row, adapter in enumerate(indices.tolist()):
        if adapter >= 0:
            out[row, target] += scale * (weight_b[adapter, layer_idx] @ (weight_a[adapter, layer_idx] @ x[row]))
    return out
