"""Quantised products against their documented formulas: integers exactly, real numbers in float64."""

import pytest
import torch
import torch_npu

from emulator.ops.int_product import scaled

M, N, K = 5, 16, 256


def integers(*shape: int, low: int = -128, high: int = 128, seed: int = 0) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int8)


def real(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) + 0.5).to(dtype)


def packed(codes: torch.Tensor) -> torch.Tensor:
    """int4 packed along the last dimension as npu_convert_weight_to_int4pack does it on the host."""
    return torch_npu.npu_convert_weight_to_int4pack(codes.int().npu())


def close(found: torch.Tensor, exact: torch.Tensor) -> None:
    tolerance = {torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float32: 1e-5}[found.dtype]
    torch.testing.assert_close(found.cpu().double(), exact.double(), rtol=tolerance, atol=tolerance * float(exact.abs().max()))


def cut(scale: torch.Tensor) -> torch.Tensor:
    """The 19 bits of a float32 that the matrix unit keeps of a scale."""
    return (scale.view(torch.int32) & -8192).view(torch.float32)


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("transposed", [False, True])
def test_int8_result_is_scaled_shifted_rounded_and_saturated(transposed, batch):
    x1, x2 = integers(*batch, M, K, seed=1), integers(*((N, K) if transposed else (K, N)), seed=2)
    scale, offset = real(N) * 1e-3, torch.arange(N) - 8.0
    weight = x2.npu().t() if transposed else x2.npu()
    bias = integers(N, seed=3).int() * 100
    found = torch_npu.npu_quant_matmul(x1.npu(), weight, scale.npu(), offset=offset.npu(), bias=bias.npu())
    sums = x1.long() @ (x2.t() if transposed else x2).long() + bias
    exact = sums.double() * cut(scale).double() + offset
    assert found.dtype == torch.int8
    torch.testing.assert_close(found.cpu().double(), exact.clamp(-128, 127), rtol=0, atol=0.5001)


def test_the_sums_alone():
    x1, x2, bias = integers(M, K, seed=1), integers(K, N, seed=2), integers(N, seed=3).int()
    found = torch_npu.npu_quant_matmul(x1.npu(), x2.npu(), torch.ones(N).npu(), bias=bias.npu(), output_dtype=torch.int32)
    assert torch.equal(found.cpu().long(), x1.long() @ x2.long() + bias)


@pytest.mark.parametrize("size", [1, N])
@pytest.mark.parametrize("bias", [None, torch.int32, torch.float32])
@pytest.mark.parametrize(("target", "by_token"), [(torch.float16, True), (torch.bfloat16, False), (torch.bfloat16, True)])
def test_scales_of_channels_and_tokens(target, by_token, bias, size):
    x1, x2, scale, tokens = integers(M, K, seed=1), integers(K, N, seed=2), real(size) * 1e-3, real(M, seed=3)
    shift = None if bias is None else integers(N, seed=4).to(bias)
    found = torch_npu.npu_quant_matmul(
        x1.npu(), x2.npu(), scale.npu(), pertoken_scale=tokens.npu() if by_token else None, bias=None if shift is None else shift.npu(),
        output_dtype=target,
    )  # fmt: skip
    sums = (x1.long() @ x2.long()).double() + (shift.double() if bias == torch.int32 else 0)
    exact = sums * scale.double() * (tokens.double().unsqueeze(1) if by_token else 1) + (shift.double() if bias == torch.float32 else 0)
    assert found.dtype == target
    close(found, exact)


@pytest.mark.parametrize("bias", [None, torch.int32])
def test_a_float16_result_without_scales_of_tokens_takes_an_encoded_scale(bias):
    x1, x2, scale = integers(M, K, seed=1), integers(K, N, seed=2), real(N) * 1e-3
    shift = None if bias is None else integers(N, seed=4).to(bias)
    found = torch_npu.npu_quant_matmul(
        x1.npu(), x2.npu(), scale.npu(), bias=None if bias is None else shift.npu(), output_dtype=torch.float16
    )
    close(found, (x1.long() @ x2.long() + (0 if shift is None else shift)).double() * cut(scale).double())


def test_an_encoded_scale_brings_its_offset():
    x1, x2, scale, offset = integers(M, K, seed=1), integers(K, N, seed=2), real(N) * 1e-3, torch.arange(N) - 8.0
    words = torch_npu.npu_trans_quant_param(scale.npu(), offset.npu())
    found = torch_npu.npu_quant_matmul(x1.npu(), x2.npu(), words)
    exact = (x1.long() @ x2.long()).double() * cut(scale).double() + offset
    torch.testing.assert_close(found.cpu().double(), exact.clamp(-128, 127), rtol=0, atol=0.5001)


def test_an_offset_that_the_encoded_scale_lacks_is_an_error():
    with pytest.raises(ValueError, match="npu_trans_quant_param"):
        scaled(torch.zeros(1, 2), torch.tensor([1 << 46, 1 << 46]), None, None, torch.ones(2))


@pytest.mark.parametrize("transposed", [False, True])
def test_int4_by_int4(transposed):
    x1, x2, tokens = integers(M, K, low=-8, high=8, seed=1), integers(K, N, low=-8, high=8, seed=2), real(M, seed=3)
    weight = packed(x2.t().contiguous()).t() if transposed else packed(x2)
    found = torch_npu.npu_quant_matmul(packed(x1), weight, real(N).npu(), pertoken_scale=tokens.npu(), output_dtype=torch.bfloat16)
    close(found, (x1.long() @ x2.long()).double() * real(N).double() * tokens.double().unsqueeze(1))


def test_int8_by_int4_with_groups_of_k():
    size = 128
    x1, x2 = integers(M, K, seed=1), integers(K, N, low=-8, high=8, seed=2)
    scale, tokens = cut(real(K // size, N)) * 0.125, real(M, 1, seed=3)
    words = torch_npu.npu_trans_quant_param(scale.flatten().npu()).view(K // size, N)
    weight = x2.double() * scale.double().repeat_interleave(size, 0)
    assist = 8 * weight.sum(0).float()
    found = torch_npu.npu_quant_matmul(
        x1.npu(), packed(x2), words, offset=assist.npu(), pertoken_scale=tokens.npu(), output_dtype=torch.bfloat16, group_sizes=[0, 0, size]
    )
    close(found, (x1.double() @ weight) * tokens.double())


def test_int4_by_shifted_int4_with_groups_of_k():
    size = 128
    x1, x2 = integers(M, K, low=-8, high=8, seed=1), integers(K, N, low=-8, high=8, seed=2)
    scale, shift, tokens = real(K // size, N), real(K // size, N, seed=4, dtype=torch.float16), real(M, 1, seed=3)
    weight, factor = packed(x2.t().contiguous()).t(), scale.t().contiguous().npu().t()  # torch_npu wants both transposed, or neither
    found = torch_npu.npu_quant_matmul(
        packed(x1), weight, factor, offset=shift.npu(), pertoken_scale=tokens.npu(), output_dtype=torch.bfloat16, group_sizes=[0, 0, size]
    )
    repeated = (scale.double().repeat_interleave(size, 0), shift.double().repeat_interleave(size, 0))
    close(found, tokens.double() * (x1.double() @ ((x2.double() - repeated[1]) * repeated[0])))


def test_scales_of_blocks():
    x1, x2 = integers(M, K, seed=1), integers(K, N, seed=2)
    rows, blocks = real(M, K // 128, seed=3), real(K // 128, 1, seed=4)
    found = torch_npu.npu_quant_matmul(
        x1.npu(), x2.npu(), blocks.npu(), pertoken_scale=rows.npu(), output_dtype=torch.bfloat16, group_sizes=[1, 128, 128]
    )
    left = x1.double() * rows.double().repeat_interleave(128, 1)
    close(found, left @ (x2.double() * blocks.double().repeat_interleave(128, 0)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("four_bits", [False, True])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_quantised_weights(dtype, four_bits, groups, transposed):
    x = real(M, K, seed=1, dtype=dtype) - 1
    codes = integers(K, N, low=-8 if four_bits else -128, high=8 if four_bits else 128, seed=2)
    scale, offset = (real(groups, N, seed=3) * 0.1).to(dtype), real(groups, N, seed=4, dtype=dtype)
    bias = real(N, seed=5, dtype=torch.float16 if dtype == torch.float16 else torch.float32)
    stored = codes.t().contiguous() if transposed else codes
    weight = packed(stored) if four_bits else stored.npu()
    found = torch_npu.npu_weight_quant_batchmatmul(
        x.npu(), weight.t() if transposed else weight, scale.npu(), offset.npu(), bias=bias.npu(),
        antiquant_group_size=K // groups if groups > 1 else 0,
    )  # fmt: skip
    factor, shift = (vector.double().repeat_interleave(K // groups, 0) for vector in (scale, offset))
    assert found.dtype == dtype
    close(found, x.double() @ ((codes.double() + shift) * factor) + bias.double())


def test_quantised_weights_and_a_quantised_result():
    x, codes, scale = real(M, K, seed=1, dtype=torch.float16) - 1, integers(K, N, seed=2), real(1, N, seed=3, dtype=torch.float16) * 0.1
    again, shift = real(1, N, seed=4) * 0.1, torch.full((1, N), 3.0)
    found = torch_npu.npu_weight_quant_batchmatmul(x.npu(), codes.npu(), scale.npu(), quant_scale=again.npu(), quant_offset=shift.npu())
    exact = (x.double() @ (codes.double() * scale.double())) * cut(again).double() + 3
    assert found.dtype == torch.int8
    assert float((found.cpu().double() - exact.clamp(-128, 127)).abs().max()) < 0.6


@pytest.mark.parametrize("smooth", [False, True])
def test_quantising_the_left_operand_on_the_way(smooth):
    x, codes, scale = real(M, K, seed=1, dtype=torch.float16) - 1, integers(N, K, seed=2), real(N, seed=3)
    factor = real(K, seed=4, dtype=torch.float16)
    found = torch_npu.npu_quant_matmul_dequant(x.npu(), codes.npu(), scale.npu(), smooth_scale=factor.npu() if smooth else None)
    values = x.double() * (factor.double() if smooth else 1)
    step = values.abs().amax(1, keepdim=True) / 127
    close(found, ((values / step).round() @ codes.double().t()) * scale.double() * step)
