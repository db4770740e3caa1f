"""RmsNorm and its fusions, AddLayerNorm and DeepNorm, against their definitions in float64, forward and backward."""

import pytest
import torch
import torch_npu
from torch import Tensor

from tests.emulator.ops.attention_definition import close, drawn, with_gradients

EPSILON = 1e-5


def rms_norm(x: Tensor, gamma: Tensor, dims: int = 1) -> tuple[Tensor, Tensor]:
    rstd = (x.square().mean(list(range(-dims, 0)), keepdim=True) + EPSILON).rsqrt()
    return x * rstd * gamma, rstd


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return torch.nn.functional.layer_norm(x, gamma.shape, gamma, beta, EPSILON)


@pytest.mark.parametrize("shape", [(16,), (4, 16)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2**-7), (torch.float16, 2**-10)])
def test_rms_norm(shape: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    x, gamma, upstream = (drawn(*size, seed=seed, dtype=dtype) for seed, size in enumerate(((3, 4, 16), shape, (3, 4, 16))))
    wide = [x.double(), gamma.double()]
    expected, gradients = with_gradients(lambda *y: rms_norm(*y, dims=len(shape))[0], wide, upstream.double())
    out, found = with_gradients(lambda *y: torch_npu.npu_rms_norm(*y, epsilon=EPSILON)[0], [x.npu(), gamma.npu()], upstream.npu())
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other, tolerance)
    rstd = torch_npu.npu_rms_norm(x.npu(), gamma.npu(), EPSILON)[1]
    assert rstd.dtype == torch.float32
    close(rstd, rms_norm(*wide, dims=len(shape))[1])


def test_rms_norm_of_a_slice() -> None:
    x, gamma = drawn(3, 4, 32)[:, 1:, ::2], drawn(16, seed=1)
    close(torch_npu.npu_rms_norm(x.npu().clone(), gamma.npu(), EPSILON)[0], rms_norm(x.double(), gamma.double())[0])
    close(torch_npu.npu_rms_norm(drawn(3, 4, 32).npu()[:, 1:, ::2], gamma.npu(), EPSILON)[0], rms_norm(x.double(), gamma.double())[0])


def test_gemma_rms_norm() -> None:
    x, gamma = drawn(3, 16), drawn(16, seed=1)
    out, rstd = torch_npu.npu_gemma_rms_norm(x.npu(), gamma.npu(), EPSILON)
    expected, expected_rstd = rms_norm(x.double(), 1 + gamma.double())
    close(out, expected)
    close(rstd, expected_rstd)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_add_rms_norm_normalizes_the_rounded_sum(dtype: torch.dtype) -> None:
    x1, x2, gamma = drawn(3, 16, dtype=dtype), drawn(3, 16, seed=1, dtype=dtype), drawn(16, seed=2, dtype=dtype)
    out, rstd, added = torch_npu.npu_add_rms_norm(x1.npu(), x2.npu(), gamma.npu(), EPSILON)
    assert torch.equal(added.cpu(), x1 + x2)
    expected, expected_rstd = rms_norm((x1 + x2).double(), gamma.double())
    close(out, expected, torch.finfo(dtype).eps * 2 if dtype != torch.float32 else 2e-6)
    close(rstd, expected_rstd)
    assert out.dtype == dtype


def test_add_rms_norm_with_a_cast() -> None:
    x1, x2, gamma = (drawn(3, 16, seed=0, dtype=torch.float16), drawn(3, 16, seed=1, dtype=torch.float16), drawn(16, seed=2).half())
    wide, narrow, _, added = torch_npu.npu_add_rms_norm_cast(x1.npu(), x2.npu(), gamma.npu(), EPSILON)
    close(wide, rms_norm(added.cpu().double(), gamma.double())[0])
    assert torch.equal(narrow.cpu(), wide.cpu().half())


def test_add_rms_norm_in_place() -> None:
    x1, x2, gamma = drawn(3, 16), drawn(3, 16, seed=1), drawn(16, seed=2)
    y, added = x1.npu(), x2.npu()
    torch_npu.npu_add_rms_norm_v2(y, added, gamma.npu(), EPSILON)
    assert torch.equal(added.cpu(), x1 + x2)
    close(y, rms_norm((x1 + x2).double(), gamma.double())[0])


def quantized(value: Tensor) -> Tensor:
    return value.round().clamp(-128, 127).to(torch.int8)


def nearly(found: Tensor, expected: Tensor) -> None:
    """Quantized values may differ by one where float32 falls on the other side of a half."""
    assert found.dtype == torch.int8
    difference = (found.cpu().int() - expected.int()).abs()
    assert difference.max() <= 1
    assert difference.float().mean() < 0.02


@pytest.mark.parametrize("div_mode", [True, False])
def test_add_rms_norm_quantized(div_mode: bool) -> None:
    x1, x2, gamma, beta = (drawn(*size, seed=seed, dtype=torch.float16) for seed, size in enumerate(((5, 16), (5, 16), (16,), (16,))))
    scales = [drawn(16, seed=seed).abs() + 0.1 for seed in (4, 5)]
    zero = torch.arange(16, dtype=torch.int32) - 8
    y1, y2, added = torch_npu.npu_add_rms_norm_quant(
        x1.npu(), x2.npu(), gamma.npu(), scales[0].npu(), zero.npu(), beta.npu(), scales[1].npu(), None, epsilon=EPSILON, div_mode=div_mode
    )
    assert torch.equal(added.cpu(), x1 + x2)
    value = rms_norm((x1 + x2).double(), gamma.double())[0] + beta.double()
    first, second = (value / scale if div_mode else value * scale for scale in scales)
    nearly(y1, quantized(first + zero))
    nearly(y2, quantized(second))


@pytest.mark.parametrize("mask", [None, [True, True], [False, True]])
def test_add_rms_norm_dynamically_quantized(mask: list[bool] | None) -> None:
    x1, x2, gamma, smooth = (drawn(*size, seed=seed, dtype=torch.float16) for seed, size in enumerate(((5, 16), (5, 16), (16,), (16,))))
    options = {} if mask is None else {"output_mask": mask, "smooth_scale2": smooth.npu()}
    y1, y2, _, scale1, scale2 = torch_npu.npu_add_rms_norm_dynamic_quant(x1.npu(), x2.npu(), gamma.npu(), epsilon=EPSILON, **options)
    value = rms_norm((x1 + x2).double(), gamma.double())[0]
    for wanted, y, scale, smoothed in zip(mask or (True, False), (y1, y2), (scale1, scale2), (value, value * smooth), strict=True):
        if wanted:
            row = smoothed.abs().amax(-1) / 127
            close(scale, row)
            nearly(y, quantized(smoothed / row.unsqueeze(-1)))
        else:
            assert y.dim() == scale.dim() == 0


def test_rms_norm_quantized() -> None:
    x, gamma, beta = (drawn(*size, seed=seed, dtype=torch.float16) for seed, size in enumerate(((5, 16), (16,), (16,))))
    scale, offset = torch.tensor([0.05], dtype=torch.float16), torch.tensor([3], dtype=torch.int8)
    y = torch_npu.npu_rms_norm_quant(x.npu(), gamma.npu(), beta.npu(), scale.npu(), offset.npu(), EPSILON)
    value = rms_norm(x.double(), gamma.double())[0]
    nearly(y, quantized((value + beta.double()) / scale.double() + 3))
    y, _ = torch_npu.npu_rms_norm_quant_v2(x.npu(), gamma.npu(), scale.npu(), epsilon=EPSILON, div_mode=False)
    nearly(y, quantized(value * scale.double()))


@pytest.mark.parametrize("shape", [(16,), (4, 16)])
@pytest.mark.parametrize("through_sum", [False, True])
def test_add_layer_norm(shape: tuple[int, ...], through_sum: bool) -> None:
    tensors = [drawn(*size, seed=seed) for seed, size in enumerate(((3, 4, 16), (3, 4, 16), shape, shape))]
    upstream, other_upstream = drawn(3, 4, 16, seed=8), drawn(3, 4, 16, seed=9) * through_sum

    def definition(x1: Tensor, x2: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return torch.cat((layer_norm(x1 + x2, gamma, beta), x1 + x2))

    def fused(*arguments: Tensor) -> Tensor:
        y, _, _, x = torch_npu.npu_add_layer_norm(*arguments, EPSILON, True)
        return torch.cat((y, x))

    both = torch.cat((upstream, other_upstream))
    expected, gradients = with_gradients(definition, [x.double() for x in tensors], both.double())
    out, found = with_gradients(fused, [x.npu() for x in tensors], both.npu())
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other)


def test_deep_norm() -> None:
    tensors = [drawn(*size, seed=seed) for seed, size in enumerate(((3, 4, 16), (3, 4, 16), (16,), (16,)))]
    upstream = drawn(3, 4, 16, seed=9)
    expected, gradients = with_gradients(
        lambda x, gx, beta, gamma: layer_norm(0.5 * x + gx, gamma, beta), [x.double() for x in tensors], upstream.double()
    )
    out, found = with_gradients(lambda *x: torch_npu.npu_deep_norm(*x, 0.5, EPSILON)[2], [x.npu() for x in tensors], upstream.npu())
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other)
