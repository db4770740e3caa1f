"""Quantized swish-gated units, against their definitions in float64."""

import pytest
import torch
import torch_npu
from torch import Tensor

from tests.emulator.ops.attention_definition import close, drawn
from tests.emulator.ops.test_rms_norm import nearly, quantized


def gated(x: Tensor, left: bool) -> Tensor:
    first, second = x.double().chunk(2, dim=-1)
    gate, linear = (first, second) if left else (second, first)
    return gate * gate.sigmoid() * linear


GROUPS: list[tuple[Tensor | None, int, list[int]]] = [
    (None, 0, [0] * 6),
    (torch.tensor([2, 5, 6], dtype=torch.int32), 0, [0, 0, 1, 1, 1, 2]),
    (torch.tensor([2, 3, 1], dtype=torch.int32), 1, [0, 0, 1, 1, 1, 2]),
]


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize(("group_index", "kind", "group"), GROUPS, ids=["none", "ends", "counts"])
def test_dynamic(left: bool, group_index: Tensor | None, kind: int, group: list[int]) -> None:
    """Its scale is what values are multiplied with."""
    x, smooth = drawn(6, 32), drawn(max(group) + 1, 16, seed=1)
    out, scale = torch_npu.npu_swiglu_quant(
        x.npu(),
        smooth_scales=smooth.npu(),
        group_index=None if group_index is None else group_index.npu(),
        activate_left=left,
        quant_mode=1,
        group_list_type=kind,
    )
    value = gated(x, left) * smooth.double()[group]
    expected = 127 / value.abs().amax(-1)
    close(scale, expected)
    nearly(out, quantized(value * expected.unsqueeze(-1)))


@pytest.mark.parametrize("per_tensor", [True, False])
def test_static(per_tensor: bool) -> None:
    x = drawn(6, 32)
    smooth, offset = (drawn(3, *(() if per_tensor else (16,)), seed=seed).abs() * 20 for seed in (1, 2))
    group_index, _, group = GROUPS[1]
    assert group_index is not None
    out, _ = torch_npu.npu_swiglu_quant(x.npu(), smooth_scales=smooth.npu(), offsets=offset.npu(), group_index=group_index.npu())
    scales, offsets = (y.double()[group].view(6, -1) for y in (smooth, offset))
    nearly(out, quantized(gated(x, False) * scales + offsets))


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_dequantized_first(mode: int) -> None:
    """Its scale is what quantized values are multiplied with to get them back."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-99, 99, (6, 32), dtype=torch.int32, generator=generator)
    weight, activation, smooth = drawn(1, 32, seed=1).abs() / 9, drawn(6, 1, seed=2).abs(), drawn(1, 16, seed=3)
    out, scale = torch_npu.npu_dequant_swiglu_quant(
        x.npu(), weight_scale=weight.npu(), activation_scale=activation.npu(), quant_scale=smooth.npu(), activate_left=True,
        quant_mode=1, swiglu_mode=mode, clamp_limit=3.0, glu_alpha=1.5, glu_bias=0.5,
    )  # fmt: skip
    plain = x.double() * weight.double() * activation.double()
    if mode == 0:
        value = gated(plain, True)
    else:
        gate, linear = (plain[:, ::2], plain[:, 1::2]) if mode == 1 else plain.chunk(2, dim=-1)
        gate, linear = gate.clamp(max=3), linear.clamp(-3, 3)
        value = gate * torch.sigmoid(1.5 * gate) * (linear + 0.5)
    value = value * smooth.double()
    expected = value.abs().amax(-1) / 127
    close(scale, expected)
    nearly(out, quantized(value / expected.unsqueeze(-1)))


def test_groups_have_their_own_scales_and_the_rest_is_zero() -> None:
    x = torch.arange(6 * 32, dtype=torch.int32).reshape(6, 32) - 96
    weight, smooth = drawn(2, 32, seed=1).abs() / 9, drawn(2, 16, seed=3)
    out, scale = torch_npu.npu_dequant_swiglu_quant(
        x.npu(), weight_scale=weight.npu(), activation_scale=torch.ones(6, 1).npu(), quant_scale=smooth.npu(),
        group_index=torch.tensor([2, 3]).npu(), quant_mode=1,
    )  # fmt: skip
    group = [0, 0, 1, 1, 1]
    value = gated(x[:5].double() * weight.double()[group], False) * smooth.double()[group]
    expected = value.abs().amax(-1) / 127
    close(scale[:5], expected)
    nearly(out[:5], quantized(value / expected.unsqueeze(-1)))
    assert not out[5].cpu().any()
