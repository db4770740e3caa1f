"""Grouped products and what follows them, against the documented formulas in float64."""

import pytest
import torch
import torch_npu

SIZES = [3, 0, 4, 2]
GROUPS, M, K, N = len(SIZES), sum(SIZES), 32, 16
ENDS = [sum(SIZES[: i + 1]) for i in range(GROUPS)]


def real(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def integers(*shape: int, low: int = -128, high: int = 128, seed: int = 0) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int8)


def packed(codes: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch_npu.npu_convert_weight_to_int4pack(matrix.int().npu()) for matrix in codes])


def experts() -> torch.Tensor:
    """The group of each row."""
    return torch.repeat_interleave(torch.arange(GROUPS), torch.tensor(SIZES))


def multiplied(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x [m, k] by the weight [groups, k, n] of each row's group."""
    return (x.double().unsqueeze(1) @ weight.double()[experts()]).squeeze(1)


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("shared", [False, True])
def test_rows_are_added_to_their_tokens(shared, kind):
    x, weight, scale, rows = integers(M, K, seed=1), integers(GROUPS, K, N, seed=2), real(GROUPS, N, seed=3) * 1e-2, real(M, seed=4)
    logit, index, more = real(M, seed=5), torch.arange(M) % 5, real(2, N, seed=6, dtype=torch.bfloat16)
    found = torch_npu.npu_grouped_matmul_finalize_routing(
        x.npu(), weight.npu(), torch.tensor(SIZES if kind else ENDS).npu(), scale=scale.npu(), pertoken_scale=rows.npu(),
        shared_input=more.npu() if shared else None, logit=logit.npu(), row_index=index.npu(), shared_input_weight=0.5,
        shared_input_offset=2, output_bs=5, group_list_type=kind,
    )  # fmt: skip
    values = multiplied(x, weight) * scale.double()[experts()] * rows.double().unsqueeze(1) * logit.double().unsqueeze(1)
    exact = torch.zeros(5, N, dtype=torch.float64).index_add_(0, index, values)
    if shared:
        exact[2:4] += 0.5 * more.double()
    torch.testing.assert_close(found.cpu().double(), exact, rtol=1e-5, atol=1e-4)


def silu_gated(values: torch.Tensor) -> torch.Tensor:
    act, gate = values.chunk(2, -1)
    return act / (1 + torch.exp(-act)) * gate


def check_quantised(found: torch.Tensor, scale: torch.Tensor, exact: torch.Tensor) -> None:
    expected = exact.abs().amax(1) / 127
    torch.testing.assert_close(scale.cpu().double(), expected, rtol=1e-4, atol=1e-9)
    assert found.dtype == torch.int8
    torch.testing.assert_close(found.cpu().double(), exact / expected.unsqueeze(1), rtol=0, atol=0.51)


@pytest.mark.parametrize("version", [1, 2])
def test_swiglu_and_quantisation(version):
    x, weight, scale, rows = integers(M, K, seed=1), integers(GROUPS, K, N, seed=2), real(GROUPS, N, seed=3) * 1e-3, real(M, seed=4).abs()
    ends = torch.tensor(ENDS).npu()
    if version == 1:
        found = torch_npu.npu_grouped_matmul_swiglu_quant(x.npu(), weight.npu(), ends, scale.npu(), rows.npu())
        assert found[2].isnan().all()
    else:
        found = torch_npu.npu_grouped_matmul_swiglu_quant_v2(
            x.npu(), [weight.npu()], [scale.npu()], rows.npu(), ends, quant_dtype=torch.int8, dequant_dtype=torch.float32
        )
    check_quantised(found[0], found[1], silu_gated(multiplied(x, weight) * scale.double()[experts()] * rows.double().unsqueeze(1)))


def test_swiglu_and_quantisation_of_int8_by_int4():
    x, codes = integers(M, K, seed=1), integers(GROUPS, K, N, low=-8, high=8, seed=2)
    scale, rows = real(GROUPS, 2, N, seed=3).abs() * 1e-2, real(M, seed=4).abs()
    weight = codes.double() * scale.double().repeat_interleave(K // 2, 1)
    assist = (8 * weight.sum(1)).float()
    found = torch_npu.npu_grouped_matmul_swiglu_quant(
        x.npu(), packed(codes), torch.tensor(ENDS).npu(), scale.npu(), rows.npu(), bias=assist.npu()
    )
    check_quantised(found[0], found[1], silu_gated(multiplied(x, weight) * rows.double().unsqueeze(1)))


@pytest.mark.parametrize("static", [False, True])
def test_the_left_operand_can_be_quantised_on_the_way(static):
    x, codes, scale, given = (
        real(M, K, seed=1, dtype=torch.float16),
        integers(GROUPS, N, K, seed=2),
        real(GROUPS, N, seed=3),
        torch.tensor([0.02]),
    )
    found = torch_npu.npu_quant_grouped_matmul_dequant(
        x.npu(), codes.npu(), scale.npu(), torch.tensor(ENDS).npu(), x_scale=given.npu() if static else None,
        quant_mode="pertensor" if static else "pertoken",
    )  # fmt: skip
    step = given.double() if static else x.double().abs().amax(1, keepdim=True) / 127
    quantised = (x.double() / step).round().clamp(-128, 127)
    exact = multiplied(quantised, codes.mT) * scale.double()[experts()] * step
    torch.testing.assert_close(found.cpu().double(), exact, rtol=5e-3, atol=0.1)
