"""Swish-gated linear units fused with dequantization before and quantization after. Knows no other quantization.

Definitions: pages npu_swiglu_quant and npu_dequant_swiglu_quant of op-plugin's documentation, CANN's page aclnnSwiGluQuantV2, and, for
what those leave open (the sense of a scale), op-plugin's tests for the device. All are computed in float32.
"""

import torch
from torch import Tensor

from emulator.operator import Out, aclnn

_INT8 = 2


def _gated(x: Tensor, activate_left: bool) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return torch.nn.functional.silu(left) * right if activate_left else left * torch.nn.functional.silu(right)


def _gated_variant(x: Tensor, mode: int, activate_left: bool, limit: float, alpha: float, bias: float) -> Tensor:
    """Swish with a clamp, a factor and a bias: pairs side by side in mode 1, halves of the last dimension in mode 2."""
    halves = (x[..., ::2], x[..., 1::2]) if mode == 1 else x.chunk(2, dim=-1)
    gate, linear = halves if mode == 1 or activate_left else halves[::-1]
    gate, linear = gate.clamp(max=limit), linear.clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (linear + bias)


def _bounds(rows: int, group_index: Tensor | None, cumulative: bool) -> list[tuple[int, int]]:
    """First and last row of every group; all rows are one group without group_index."""
    if group_index is None:
        return [(0, rows)]
    ends = (group_index if cumulative else group_index.cumsum(0)).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _group(value: Tensor | None, index: int, grouped: bool) -> Tensor:
    """A group's row of a scale or offset, or the whole of it where there are no groups."""
    if value is None:
        raise ValueError("quant_mode static needs offsets")
    wide = value.float()
    return wide[index] if grouped or wide.dim() == 2 else wide


def _int8(value: Tensor) -> Tensor:
    return value.round().clamp(-128, 127).to(torch.int8)


@aclnn
def SwiGluQuantV2(
    x: Tensor,
    smooth_scales: Tensor | None,
    offsets: Tensor | None,
    group_index: Tensor | None,
    activate_left: bool,
    quant_mode: str,
    group_list_type: int,
    dst_type: int,
    y: Out,
    scale: Out,
) -> tuple[Tensor, Tensor]:
    """x [.., 2N]; y int8 [.., N]; scale [..] is 127 / max |row| in mode dynamic, and zero in mode static, where offsets are added.

    smooth_scales and offsets are [G, N] or [G]; group_index [G] holds the ends (group_list_type 0) or the counts (1) of rows. Rows of no
    group are 0.
    """
    if dst_type != _INT8:
        raise NotImplementedError(f"quantization to data type {dst_type} is not emulated, only to int8 ({_INT8})")
    if quant_mode not in ("static", "dynamic"):
        raise NotImplementedError(f"quant_mode {quant_mode!r} is not emulated, only static and dynamic")
    value = _gated(x.float().reshape(-1, x.shape[-1]), activate_left)
    result, scales = torch.zeros_like(value, dtype=torch.int8), torch.zeros(len(value))
    for group, (start, end) in enumerate(_bounds(len(value), group_index, group_list_type == 0)):
        rows = value[start:end]
        if smooth_scales is not None:
            rows = rows * _group(smooth_scales, group, group_index is not None)
        if quant_mode == "static":
            rows = rows + _group(offsets, group, group_index is not None)
        else:
            factor = 127 / rows.abs().amax(-1)
            scales[start:end] = factor
            rows = torch.where(factor.isinf().unsqueeze(-1), 0, rows * factor.unsqueeze(-1))  # a row of zeros stays zero
        result[start:end] = _int8(rows)
    return result.reshape(y.shape), scales.reshape(scale.shape)


@aclnn
def DequantSwigluQuantV2(
    x: Tensor,
    weight_scale: Tensor | None,
    activation_scale: Tensor | None,
    bias: Tensor | None,
    quant_scale: Tensor | None,
    quant_offset: Tensor | None,
    group_index: Tensor | None,
    activate_left: bool,
    quant_mode: str,
    dst_type: int,
    round_mode: str,
    activate_dim: int,
    swiglu_mode: int,
    clamp_limit: float,
    glu_alpha: float,
    glu_bias: float,
    y: Out,
    scale: Out,
) -> tuple[Tensor, Tensor]:
    """x [.., 2H], int32 (dequantized by weight_scale and activation_scale) or floating; y int8 [.., H]; scale [..] is max |row| / 127 in
    mode dynamic; in mode static it is zero, and values are divided by quant_scale [G, H] or [G] and shifted by quant_offset.

    group_index [G] counts the rows of groups, each with its own weight_scale [G, 2H], bias and quant_scale. Rows of no group are 0.
    """
    if dst_type != _INT8 or round_mode != "rint" or activate_dim not in (-1, x.dim() - 1):
        raise NotImplementedError("only int8 (2), round_mode rint and activation of the last dimension are emulated")
    rows = x.reshape(-1, x.shape[-1])
    result, scales = torch.zeros(len(rows), rows.shape[-1] // 2, dtype=torch.int8), torch.zeros(len(rows))
    grouped = group_index is not None
    for group, (start, end) in enumerate(_bounds(len(rows), group_index, False)):
        part = rows[start:end]
        if bias is not None and not bias.is_floating_point():
            part = part + (bias[group] if bias.dim() == 2 else bias)
        value = part.float()
        if weight_scale is not None:
            value = value * _group(weight_scale, group, weight_scale.dim() == 2)
        if activation_scale is not None:
            value = value * activation_scale.float().reshape(-1, 1)[start:end]
        if bias is not None and bias.is_floating_point():
            value = value + _group(bias, group, bias.dim() == 2)
        if swiglu_mode == 0:
            value = _gated(value, activate_left)
        else:
            value = _gated_variant(value, swiglu_mode, activate_left, clamp_limit, glu_alpha, glu_bias)
        if quant_mode == "static":
            if quant_scale is not None:
                value = value / _group(quant_scale, group, grouped)
            value = value if quant_offset is None else value + _group(quant_offset, group, grouped)
        else:
            value = value if quant_scale is None else value * _group(quant_scale, group, grouped)
            largest = value.abs().amax(-1)
            scales[start:end] = largest / 127
            value = torch.where((largest == 0).unsqueeze(-1), 0, value * (127 / largest).unsqueeze(-1))
        result[start:end] = _int8(value)
    return result.reshape(y.shape), scales.reshape(scale.shape)
