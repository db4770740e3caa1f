"""Quantisation in blocks against its definition, number by number."""

import math

import pytest
import torch
import torch_npu

E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
E1M2 = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]


def real(*shape: int, seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3).to(dtype)


def nearest(value: float, numbers: list[float]) -> float:
    """The nearest number of a type; halfway between two, that with the even code; beyond the last, the last."""
    size = min(abs(value), numbers[-1])
    place = min(range(len(numbers)), key=lambda code: (abs(numbers[code] - size), code % 2))
    return math.copysign(numbers[place], value)


def float8(dtype: torch.dtype) -> list[float]:
    codes = torch.arange(128, dtype=torch.uint8).view(dtype).float()
    return [value for value in codes.tolist() if math.isfinite(value)]


def decoded(packed: torch.Tensor, numbers: list[float]) -> torch.Tensor:
    codes = torch.stack([packed & 15, packed >> 4], -1).flatten(-2).long()
    return torch.tensor(numbers + [-number for number in numbers])[codes]


def restored(y: torch.Tensor, scale: torch.Tensor, axis: int, numbers: list[float] | None) -> torch.Tensor:
    """Numbers times the scales of their blocks of 32."""
    values = (y.float() if numbers is None else decoded(y, numbers)).movedim(axis, -1)
    exponents = scale.movedim(axis if axis >= 0 else axis - 1, -2).flatten(-2).int() - 127
    return (values * 2.0 ** exponents.repeat_interleave(32, -1)[..., : values.shape[-1]]).movedim(-1, axis)


def expected(x: torch.Tensor, axis: int, numbers: list[float]) -> torch.Tensor:
    """The definition with scale_alg 0: a block's scale is 2 ** (exponent of its largest - exponent of the type's largest)."""
    top = math.floor(math.log2(numbers[-1]))
    moved = x.double().movedim(axis, -1)
    rows = []
    for row in moved.reshape(-1, moved.shape[-1]).tolist():
        values = []
        for start in range(0, len(row), 32):
            block = row[start : start + 32]
            scale = 2.0 ** (math.floor(math.log2(max(map(abs, block)))) - top)
            values += [nearest(value / scale, numbers) * scale for value in block]
        rows.append(values)
    return torch.tensor(rows, dtype=torch.float64).view(moved.shape).movedim(-1, axis)


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, "float4_e2m1fn_x2", "float4_e1m2fn_x2"])
def test_mx(dtype, axis):
    x = real(70, 40) if axis == 0 else real(3, 2, 70)
    numbers = {"float4_e2m1fn_x2": E2M1, "float4_e1m2fn_x2": E1M2}.get(dtype)
    target = dtype if numbers is None else getattr(torch_npu, dtype)
    y, scale = torch_npu.npu_dynamic_mx_quant(x.npu(), axis=axis, dst_type=target)
    assert scale.dtype == torch.uint8
    found = restored(y.cpu(), scale.cpu(), axis, numbers)
    torch.testing.assert_close(found.double(), expected(x, axis, float8(dtype) if numbers is None else numbers), rtol=0, atol=0)


def test_mx_that_does_not_overflow():
    x = torch.zeros(1, 32)
    x[0, 0], x[0, 1] = 500.0, 3.0
    clipped, plain = torch_npu.npu_dynamic_mx_quant(x.bfloat16().npu(), dst_type=torch.float8_e4m3fn)
    whole, raised = torch_npu.npu_dynamic_mx_quant(x.bfloat16().npu(), dst_type=torch.float8_e4m3fn, scale_alg=1)
    assert (float(clipped[0, 0]), int(plain[0, 0, 0])) == (448.0, 127)
    assert (float(whole[0, 0]), int(raised[0, 0, 0])) == (256.0, 128)


def test_scales_are_even_in_number_and_a_block_of_zeros_has_the_least():
    y, scale = torch_npu.npu_dynamic_mx_quant(torch.zeros(2, 32).bfloat16().npu(), dst_type=torch.float8_e4m3fn)
    assert scale.tolist() == [[[0, 0]]] * 2
    assert not y.float().cpu().any()


def test_both_axes_at_once():
    x = real(64, 64)
    found = torch_npu.npu_dynamic_mx_quant_with_dual_axis(x.npu(), dst_type=torch.float8_e4m3fn)
    for (y, scale), axis in zip((found[:2], found[2:]), (-1, -2), strict=True):
        one, other = torch_npu.npu_dynamic_mx_quant(x.npu(), axis=axis, dst_type=torch.float8_e4m3fn)
        assert torch.equal(y.cpu().view(torch.uint8), one.cpu().view(torch.uint8))
        assert torch.equal(scale.cpu(), other.cpu())


def test_groups_begin_blocks_anew():
    x, ends = real(100, 8), [40, 100]
    y, scale = torch_npu.npu_grouped_dynamic_mx_quant(x.npu(), torch.tensor(ends, dtype=torch.int32).npu(), dst_type=torch.float8_e4m3fn)
    values = y.cpu().float()
    first, second = restored(values[:40], scale.cpu()[:1], 0, None), restored(values[40:], scale.cpu()[1:2], 0, None)
    exact = torch.cat([expected(x[:40], 0, float8(torch.float8_e4m3fn)), expected(x[40:], 0, float8(torch.float8_e4m3fn))])
    torch.testing.assert_close(torch.cat([first, second]).double(), exact, rtol=0, atol=0)


@pytest.mark.parametrize("axis", [-1, 0])
def test_back_from_mx(axis):
    x = real(64, 96)
    y, scale = torch_npu.npu_dynamic_mx_quant(x.npu(), axis=axis, dst_type=torch.float8_e4m3fn)
    found = torch_npu.npu_anti_mx_quant(y, scale, axis=axis, src_type=torch.float8_e4m3fn)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.cpu().float(), restored(y.cpu(), scale.cpu(), axis, None), rtol=0, atol=0)


@pytest.mark.parametrize(("dtype", "largest"), [(torch.int8, 127.0), (torch.float8_e4m3fn, 448.0)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 128), (128, 128)])
def test_blocks_with_real_scales(dtype, largest, rows, columns):
    x = real(130, 200)
    y, scale = torch_npu.npu_dynamic_block_quant(x.npu(), dst_type=dtype, row_block_size=rows, col_block_size=columns)
    for i in range(-(-130 // rows)):
        for j in range(2):
            part = (slice(i * rows, (i + 1) * rows), slice(j * columns, (j + 1) * columns))
            exact = x[part].double().abs().max() / largest
            torch.testing.assert_close(scale[i, j].cpu().double(), exact, rtol=1e-6, atol=0)
            found = y.cpu()[part].double() * exact
            bound = float(exact) * 0.51 if dtype == torch.int8 else float(exact) * largest * 2**-4
            torch.testing.assert_close(found, x[part].double(), rtol=0, atol=bound)
