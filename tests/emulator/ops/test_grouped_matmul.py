"""Grouped products against their documented formulas, group by group in float64."""

import pytest
import torch
import torch_npu

from emulator.ops.grouped_matmul import segments

SIZES = [3, 0, 4, 2]
GROUPS, M, K, N = len(SIZES), sum(SIZES), 32, 16
ENDS = [sum(SIZES[: i + 1]) for i in range(GROUPS)]
LISTS = {0: ENDS, 1: SIZES, 2: [[group, size] for group, size in enumerate(SIZES)]}


def real(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def integers(*shape: int, low: int = -128, high: int = 128, seed: int = 0) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int8)


def by_group(function) -> torch.Tensor:
    """The results of function(group, rows of the group), one below the other."""
    return torch.cat([function(group, slice(end - size, end)) for group, (size, end) in enumerate(zip(SIZES, ENDS, strict=True))])


def packed(codes: torch.Tensor) -> torch.Tensor:
    """int4 in int32; torch_npu 2.13 packs a matrix, and of a stack of matrices the first one only."""
    if codes.dim() == 3:
        return torch.stack([packed(matrix) for matrix in codes])
    return torch_npu.npu_convert_weight_to_int4pack(codes.int().npu())


def words(scale: torch.Tensor) -> torch.Tensor:
    """A scale as the matrix unit takes it, in float32 as it is."""
    return (scale.view(torch.int32).long() & 0xFFFFFFFF).npu()


def close(found: torch.Tensor, exact: torch.Tensor) -> None:
    tolerance = {torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float32: 1e-5}[found.dtype]
    torch.testing.assert_close(found.cpu().double(), exact.double(), rtol=tolerance, atol=tolerance * float(exact.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_rows_of_one_tensor(dtype, kind, transposed, biased):
    x, weight = real(M, K, seed=1, dtype=dtype), real(GROUPS, K, N, seed=2, dtype=dtype)
    bias = real(GROUPS, N, seed=3, dtype=torch.float16 if dtype == torch.float16 else torch.float32)
    moved = weight.mT.contiguous().npu().mT if transposed else weight.npu()
    (found,) = torch_npu.npu_grouped_matmul(
        [x.npu()], [moved], bias=[bias.npu()] if biased else None, group_list=torch.tensor(LISTS[kind]).npu(), split_item=3, group_type=0,
        group_list_type=kind,
    )  # fmt: skip
    exact = by_group(lambda group, rows: x[rows].double() @ weight[group].double() + (bias[group].double() if biased else 0))
    assert found.dtype == dtype
    close(found, exact)


def test_without_a_bias_a_group_is_as_the_cpu_computes_it():
    x, weight = real(M, K, seed=1, dtype=torch.bfloat16), real(GROUPS, K, N, seed=2, dtype=torch.bfloat16)
    (found,) = torch_npu.npu_grouped_matmul([x.npu()], [weight.npu()], group_list=torch.tensor(ENDS).npu(), split_item=2, group_type=0)
    assert torch.equal(found.cpu(), by_group(lambda group, rows: x[rows] @ weight[group]))


def test_rows_beyond_the_last_group_are_zero():
    x, weight = real(M + 2, K, seed=1), real(GROUPS, K, N, seed=2)
    (found,) = torch_npu.npu_grouped_matmul([x.npu()], [weight.npu()], group_list=torch.tensor(ENDS).npu(), split_item=2, group_type=0)
    assert not found.cpu()[M:].any()


@pytest.mark.parametrize("split_item", [0, 2])
def test_several_weights_of_one_tensor_of_rows(split_item):
    x, weights = real(M, K, seed=1), [real(K, N, seed=2 + group) for group in range(GROUPS)]
    found = torch_npu.npu_grouped_matmul(
        [x.npu()], [weight.npu() for weight in weights], group_list=torch.tensor(ENDS).npu(), split_item=split_item, group_type=0
    )
    assert [len(one) for one in found] == (SIZES if split_item == 0 else [M])
    close(torch.cat(found), by_group(lambda group, rows: x[rows].double() @ weights[group].double()))


def test_ends_may_be_a_list_and_each_group_may_have_tensors_of_its_own():
    xs, weights = [real(m, K, seed=m) for m in (2, 3, 1)], [real(K, N, seed=4 + group) for group in range(3)]
    biases = [real(N, seed=8 + group) for group in range(3)]
    (found,) = torch_npu.npu_grouped_matmul(
        [x.npu() for x in xs], [w.npu() for w in weights], bias=[b.npu() for b in biases], group_list=[2, 5, 6], split_item=3
    )
    close(found, torch.cat([x.double() @ w.double() + b.double() for x, w, b in zip(xs, weights, biases, strict=True)]))


def test_without_groups_each_tensor_has_its_own_shape():
    xs, weights = [real(2, 3, K, seed=1), real(1, 4, 8, seed=2)], [real(K, N, seed=3), real(8, 5, seed=4)]
    found = torch_npu.npu_grouped_matmul([x.npu() for x in xs], [w.npu() for w in weights], split_item=0, group_type=-1)
    for one, x, weight in zip(found, xs, weights, strict=True):
        close(one, x.double() @ weight.double())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", [0, 1])
def test_groups_of_the_summed_dimension(dtype, kind):
    x, weight = real(M, 8, seed=1, dtype=dtype), real(M, N, seed=2, dtype=dtype)
    (found,) = torch_npu.npu_grouped_matmul(
        [x.npu().t()], [weight.npu()], group_list=torch.tensor(LISTS[kind]).npu(), split_item=3, group_type=2, group_list_type=kind
    )
    close(found, by_group(lambda group, rows: (x[rows].double().t() @ weight[rows].double()).unsqueeze(0)))


@pytest.mark.parametrize("target", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("by_token", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_int8_by_int8(target, by_token, biased, kind):
    x, weight, bias = integers(M, K, seed=1), integers(GROUPS, K, N, seed=2), integers(GROUPS, N, seed=3).int()
    scale, tokens = (real(GROUPS, N, seed=4) * 1e-2).to(torch.bfloat16 if target == torch.bfloat16 else torch.float32), real(M, seed=5)
    (found,) = torch_npu.npu_grouped_matmul(
        [x.npu()], [weight.npu()], bias=[bias.npu()] if biased else None, scale=[scale.npu()],
        per_token_scale=[tokens.npu()] if by_token else None, group_list=torch.tensor(LISTS[kind]).npu(), split_item=2, group_type=0,
        group_list_type=kind, output_dtype=target,
    )  # fmt: skip

    def group_of(group: int, rows: slice) -> torch.Tensor:
        sums = x[rows].long() @ weight[group].long() + (bias[group] if biased else 0)
        return sums.double() * scale[group].double() * (tokens[rows].double().unsqueeze(1) if by_token else 1)

    assert found.dtype == target
    close(found, by_group(group_of))


def test_int8_by_int8_to_int8_and_to_sums():
    x, weight, scale = integers(M, K, seed=1), integers(GROUPS, K, N, seed=2), real(GROUPS, N, seed=4).abs() * 1e-3
    exact = by_group(lambda group, rows: x[rows].long() @ weight[group].long())
    options = {"group_list": torch.tensor(ENDS).npu(), "split_item": 2, "group_type": 0}
    (sums,) = torch_npu.npu_grouped_matmul([x.npu()], [weight.npu()], output_dtype=torch.int32, **options)
    assert torch.equal(sums.cpu().long(), exact)
    (found,) = torch_npu.npu_grouped_matmul([x.npu()], [weight.npu()], scale=[words(scale)], output_dtype=torch.int8, **options)
    scaled = exact.double() * by_group(lambda group, rows: scale[group].double().expand(SIZES[group], N))
    torch.testing.assert_close(found.cpu().double(), scaled.clamp(-128, 127), rtol=0, atol=0.5001)


@pytest.mark.parametrize(
    ("act", "function"),
    [
        (1, torch.relu),
        (2, lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
        (4, lambda x: x * torch.exp(0.851 * (x - x.abs())) / (1 + torch.exp(-1.702 * x.abs()))),
        (5, torch.nn.functional.silu),
    ],
)
def test_activations_after_scales_of_tokens(act, function):
    x, weight, scale, tokens = integers(M, K, seed=1), integers(GROUPS, K, N, seed=2), real(GROUPS, N, seed=4) * 1e-3, real(M, seed=5)
    (found,) = torch_npu.npu_grouped_matmul(
        [x.npu()], [weight.npu()], scale=[scale.npu()], per_token_scale=[tokens.npu()], group_list=torch.tensor(ENDS).npu(), split_item=2,
        group_type=0, act_type=act, output_dtype=torch.float16,
    )  # fmt: skip
    sums = by_group(lambda group, rows: (x[rows].long() @ weight[group].long()).double() * scale[group].double())
    close(found, function(sums * tokens.double().unsqueeze(1)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("four_bits", [False, True])
@pytest.mark.parametrize("depth", [1, 4])
def test_quantised_weights(dtype, four_bits, depth):
    x = real(M, K, seed=1, dtype=dtype)
    codes = integers(GROUPS, K, N, low=-8 if four_bits else -128, high=8 if four_bits else 128, seed=2)
    shape = (GROUPS, N) if depth == 1 else (GROUPS, depth, N)
    scale, offset = (real(*shape, seed=3) * 0.1).to(dtype), real(*shape, seed=4, dtype=dtype)
    (found,) = torch_npu.npu_grouped_matmul(
        [x.npu()], [packed(codes) if four_bits else codes.npu()], antiquant_scale=[scale.npu()], antiquant_offset=[offset.npu()],
        group_list=torch.tensor(ENDS).npu(), split_item=2, group_type=0,
    )  # fmt: skip
    factor, shift = (vector.double().view(GROUPS, depth, N).repeat_interleave(K // depth, 1) for vector in (scale, offset))
    close(found, by_group(lambda group, rows: x[rows].double() @ ((codes[group].double() + shift[group]) * factor[group])))


def test_int8_by_int4_computes_in_two_halves():
    x, codes = integers(M, K, seed=1), integers(GROUPS, K, N, low=-8, high=8, seed=2)
    scale, tokens = real(GROUPS, 4, N, seed=3).abs() * 0.1, real(M, seed=5)
    weight = codes.double() * scale.double().repeat_interleave(K // 4, 1)
    (found,) = torch_npu.npu_grouped_matmul(
        [x.npu()], [packed(codes)], bias=[(8 * weight.sum(1)).float().npu()], scale=[words(scale)], per_token_scale=[tokens.npu()],
        group_list=torch.tensor(SIZES).npu(), split_item=2, group_type=0, group_list_type=1, output_dtype=torch.bfloat16,
    )  # fmt: skip
    close(found, by_group(lambda group, rows: x[rows].double() @ weight[group]) * tokens.double().unsqueeze(1))


def test_int4_by_int4():
    x, codes = integers(M, K, low=-8, high=8, seed=1), integers(GROUPS, K, N, low=-8, high=8, seed=2)
    scale, tokens = real(GROUPS, 2, N, seed=3).abs() * 0.1, real(M, seed=5)
    weight = codes.double() * scale.double().repeat_interleave(K // 2, 1)
    (found,) = torch_npu.npu_grouped_matmul(
        [packed(x)], [packed(codes)], scale=[words(scale)], per_token_scale=[tokens.npu()], group_list=torch.tensor(ENDS).npu(),
        split_item=2, group_type=0, output_dtype=torch.float16,
    )  # fmt: skip
    close(found, by_group(lambda group, rows: x[rows].double() @ weight[group]) * tokens.double().unsqueeze(1))


def test_gradients_of_weights_are_added_up():
    x, weight, y = real(M, 8, seed=1, dtype=torch.bfloat16), real(M, N, seed=2, dtype=torch.bfloat16), real(GROUPS * 8, N, seed=3)
    moved = y.npu()
    torch_npu.npu_grouped_matmul_add_(moved, x.npu(), weight.npu(), torch.tensor(ENDS).npu())
    close(moved, y + by_group(lambda group, rows: x[rows].double().t() @ weight[rows].double()))


def test_a_falling_group_list_is_an_error():
    with pytest.raises(ValueError, match="group 1 rows 5 to 4"):
        segments([5, 4], 0, 9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_grouped_product_of_pytorch_is_the_one_of_the_cpu(dtype):
    """torch_npu 2.13 has none of its own: PyTorch's own decomposition runs, and its gradients."""

    def on(device: str) -> list[torch.Tensor]:
        x, weight = (tensor.to(device).requires_grad_() for tensor in (real(M, K, dtype=dtype), real(GROUPS, K, N, seed=1, dtype=dtype)))
        out = torch.nn.functional.grouped_mm(x, weight, offs=torch.tensor(ENDS, dtype=torch.int32, device=device))
        out.backward(real(M, N, seed=2, dtype=dtype).to(device))
        return [out.detach().cpu(), x.grad.cpu(), weight.grad.cpu()]

    for found, expected in zip(on("npu"), on("cpu"), strict=True):
        assert torch.equal(found, expected)
