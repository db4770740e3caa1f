"""Quantisation against its documented formulas, in float64 and integers."""

import numpy as np
import pytest
import torch
import torch_npu

INT4 = torch.quint4x2


def values(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def nibbles(words: torch.Tensor) -> torch.Tensor:
    """The int4 numbers of int32 words, the first in the lowest bits, as numpy reads the bytes."""
    raw = words.cpu().numpy().tobytes()
    codes = [code - 16 if code > 7 else code for byte in raw for code in (byte & 15, byte >> 4)]
    return torch.tensor(codes).view(*words.shape[:-1], -1)


def within_one_step(found: torch.Tensor, exact: torch.Tensor) -> None:
    """Equal, but where the exact value lies so near to a tie that float32 may see it on the other side."""
    difference = (found.cpu().double() - exact).abs()
    assert bool((difference <= 0.5 + 1e-4).all()), difference.max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("target", [torch.int8, INT4])
def test_dynamic_quant_by_token(dtype, smooth, target):
    x, scales = values(2, 3, 16, dtype=dtype), values(16, seed=1, dtype=dtype)
    y, scale = torch_npu.npu_dynamic_quant(x.npu(), smooth_scales=scales.npu() if smooth else None, dst_type=target)
    exact = x.double() * (scales.double() if smooth else 1)
    expected = exact.abs().amax(-1) / (127 if target == torch.int8 else 7)
    torch.testing.assert_close(scale.cpu().double(), expected, rtol=1e-6, atol=0)
    within_one_step(y if target == torch.int8 else nibbles(y), exact / expected.unsqueeze(-1))


def test_dynamic_quant_of_groups_takes_each_groups_smooth_scales():
    x, scales = values(6, 16, dtype=torch.bfloat16), values(3, 16, seed=1, dtype=torch.bfloat16)
    ends = torch.tensor([2, 2, 6], dtype=torch.int32)  # the second group is empty
    y, scale = torch_npu.npu_dynamic_quant(x.npu(), smooth_scales=scales.npu(), group_index=ends.npu())
    exact = x.double() * scales.double()[[0, 0, 2, 2, 2, 2]]
    torch.testing.assert_close(scale.cpu().double(), exact.abs().amax(-1) / 127, rtol=1e-6, atol=0)
    within_one_step(y, exact / (exact.abs().amax(-1, keepdim=True) / 127))


@pytest.mark.parametrize(("mode", "dims"), [("pertensor", (0, 1)), ("perchannel", (0,)), ("pertoken", (1,))])
def test_dynamic_quant_by_channel_and_tensor(mode, dims):
    x = values(6, 16, dtype=torch.float16)
    y, scale = torch_npu.npu_dynamic_quant(x.npu(), quant_mode=mode)
    expected = x.double().abs().amax(dims, keepdim=True) / 127
    torch.testing.assert_close(scale.cpu().double(), expected.flatten(), rtol=1e-6, atol=0)
    within_one_step(y, x.double() / expected)


@pytest.mark.parametrize("target", [torch.int8, INT4])
def test_asymmetric_dynamic_quant_uses_the_whole_range(target):
    x = values(6, 16, dtype=torch.float16) + 3
    y, scale, offset = torch_npu.npu_dynamic_quant_asymmetric(x.npu(), dst_type=target)
    exact, (low, high) = x.double(), (-128, 127) if target == torch.int8 else (-8, 7)
    expected = (exact.amax(-1) - exact.amin(-1)) / (high - low)
    torch.testing.assert_close(scale.cpu().double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(offset.cpu().double(), high - exact.amax(-1) / expected, rtol=1e-4, atol=1e-4)
    found = y.cpu() if target == torch.int8 else nibbles(y)
    assert (int(found.min()), int(found.max())) == (low, high)
    torch.testing.assert_close(
        (found.double() - offset.cpu().unsqueeze(-1)) * scale.cpu().unsqueeze(-1), exact, rtol=0, atol=0.6 * float(scale.max())
    )


def test_a_row_of_zeros_has_zeros_and_no_nan():
    y, scale = torch_npu.npu_dynamic_quant(torch.zeros(2, 8, dtype=torch.float16).npu())
    assert not y.cpu().any()
    assert not scale.cpu().any()


def test_dynamic_quant_of_a_transposed_tensor():
    x = values(8, 4, dtype=torch.float16)
    y, scale = torch_npu.npu_dynamic_quant(x.npu().t())
    expected, other = torch_npu.npu_dynamic_quant(x.t().contiguous().npu())
    assert torch.equal(y.cpu(), expected.cpu())
    assert torch.equal(scale.cpu(), other.cpu())


@pytest.mark.parametrize(("target", "low", "high"), [(torch.qint8, -128, 127), (torch.quint8, 0, 255), (torch.qint32, -(2**31), 2**31 - 1)])
def test_quantize_divides_adds_rounds_and_saturates(target, low, high):
    x, scales, zeros = values(4, 8) * 20, torch.full((8,), 0.05), torch.arange(8, dtype=torch.int32)
    found = torch_npu.npu_quantize(x.npu(), scales.npu(), zeros.npu(), target, axis=1)
    within_one_step(found, (x.double() / scales.double() + zeros).clamp(low, high))
    assert int(found.cpu().max()) <= high


def test_ties_go_to_the_even_number():
    found = torch_npu.npu_quantize(torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5]]).npu(), torch.ones(1).npu(), None, torch.qint8, axis=1)
    assert found.tolist() == [[0, 2, 2, 0, -2]]


@pytest.mark.parametrize("axis", [-1, -2])
def test_quantize_can_multiply(axis):
    x = values(4, 8, dtype=torch.float16) * 20
    scales = values(*((8,) if axis == -1 else (4, 1)), seed=1, dtype=torch.float16) * 3
    offsets = torch.ones_like(scales)
    found = torch_npu.npu_quantize(x.npu(), scales.npu(), offsets.npu(), torch.qint8, axis=axis, div_mode=False)
    within_one_step(found, (x.double() * scales.double() + 1).clamp(-128, 127))


def test_quantize_packs_four_bits():
    x = values(4, 16, dtype=torch.float16) * 3
    found = torch_npu.npu_quantize(x.npu(), torch.ones(16, dtype=torch.float16).npu(), None, INT4, div_mode=False)
    assert (found.dtype, tuple(found.shape)) == (torch.int32, (4, 2))
    within_one_step(nibbles(found), x.double().clamp(-8, 7))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_anti_quant(packed, dtype):
    generator = torch.Generator().manual_seed(2)
    x = (
        torch.randint(-(1 << 31), (1 << 31) - 1, (3, 2), generator=generator, dtype=torch.int32)
        if packed
        else torch.arange(-24, 24, dtype=torch.int8).view(3, 16)
    )
    numbers = nibbles(x) if packed else x
    scale, offset = values(16, seed=1), values(16, seed=2)
    found = torch_npu.npu_anti_quant(x.npu(), scale.npu(), offset=offset.npu(), dst_dtype=dtype, src_dtype=INT4 if packed else None)
    assert found.dtype == dtype
    torch.testing.assert_close(found.cpu(), ((numbers.double() + offset.double()) * scale.double()).to(dtype), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("target", [torch.int8, INT4])
def test_group_quant(target):
    x, scale = values(5, 8, dtype=torch.float16) * 4, values(2, 8, seed=1, dtype=torch.float16)
    found = torch_npu.npu_group_quant(
        x.npu(), scale.npu(), torch.tensor([2, 5]).npu(), offset=torch.ones(1, dtype=torch.float16).npu(), dst_dtype=target
    )
    exact = x.double() * scale.double()[[0, 0, 1, 1, 1]] + 1
    within_one_step(found if target == torch.int8 else nibbles(found), exact.clamp(-8, 7) if target == INT4 else exact)


@pytest.mark.parametrize("bias", [None, torch.arange(4, dtype=torch.int32), torch.linspace(-1, 1, 4)])
def test_dequant_bias(bias):
    x, weight_scale, activation_scale = (
        torch.arange(12, dtype=torch.int32).view(3, 4) - 5,
        torch.linspace(0.1, 1, 4),
        torch.linspace(1, 2, 3),
    )
    found = torch_npu.npu_dequant_bias(x.npu(), weight_scale.npu(), activation_scale.npu(), None if bias is None else bias.npu())
    first, last = (0 if bias is None else bias, 0) if bias is None or bias.dtype == torch.int32 else (0, bias)
    exact = (x.double() + first) * weight_scale.double() * activation_scale.double().unsqueeze(1) + last
    torch.testing.assert_close(found.cpu(), exact.half(), rtol=1e-3, atol=1e-3)


def test_scales_for_the_matrix_unit_keep_19_bits():
    scale = torch.tensor([1.0, 0.1, -3.14159, 1e-3])
    cut = scale.numpy().view(np.uint32) & 0xFFFFE000
    assert torch_npu.npu_trans_quant_param(scale.npu()).tolist() == [int(bits) | 1 << 46 for bits in cut]
    rounded = torch_npu.npu_trans_quant_param(scale.npu(), round_mode=1).cpu()
    bits = np.array([int(word) & 0xFFFFFFFF for word in rounded.tolist()], dtype=np.uint32)
    assert not (bits & 0x1FFF).any()
    np.testing.assert_allclose(bits.view(np.float32), scale.numpy(), rtol=2**-11)


def test_offsets_for_the_matrix_unit_have_nine_bits():
    words = torch_npu.npu_trans_quant_param(torch.ones(4).npu(), torch.tensor([-1.0, 5.0, 300.0, -300.0]).npu()).tolist()
    assert [(word >> 37) & 0x1FF for word in words] == [0x1FF, 5, 255, 0x100]
