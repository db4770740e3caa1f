"""mHC's mappings against their definitions in float64, and the gradients that torch_npu's autograd gives."""

import pytest
import torch
import torch_npu

N, D, EPS = 4, 16, 1e-6


def real(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(found: torch.Tensor, exact: torch.Tensor) -> None:
    tolerance = {torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float32: 1e-4}[found.dtype]
    scale = float(exact.detach().abs().max())
    torch.testing.assert_close(found.detach().cpu().double(), exact.detach().double(), rtol=tolerance, atol=tolerance * scale)


def on_npu(tensors):
    return [None if tensor is None else tensor.npu().requires_grad_() for tensor in tensors]


def exactly(tensors):
    return [None if tensor is None else tensor.double().requires_grad_() for tensor in tensors]


def pre(x, phi, alpha, bias, gamma):
    """The page's formulas."""
    n = x.shape[-2]
    rms = (x.flatten(-2).square().mean(-1, keepdim=True) + EPS).sqrt()
    normed = x.flatten(-2) / rms * (1 if gamma is None else gamma.flatten())
    mixed = normed @ phi.t()
    opened = torch.sigmoid(alpha[0] * mixed[..., :n] + bias[:n]) + EPS
    post = 2 * torch.sigmoid(alpha[1] * mixed[..., n : 2 * n] + bias[n : 2 * n])
    res = None if len(alpha) == 2 else (alpha[2] * mixed[..., 2 * n :] + bias[2 * n :]).unflatten(-1, (n, n))
    return (opened.unsqueeze(-1) * x).sum(-2), post, res, opened, rms.squeeze(-1)


def inputs(shape: tuple[int, ...], dtype: torch.dtype, with_gamma: bool, mappings: int = 3):
    rows = 2 * N + (N * N if mappings == 3 else 0)
    gamma = real(N, D, seed=5) if with_gamma else None
    return real(*shape, N, D, seed=1, dtype=dtype), real(rows, N * D, seed=2) * 0.1, real(mappings, seed=3), real(rows, seed=4), gamma


@pytest.mark.parametrize("shape", [(5,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("with_gamma", [False, True])
def test_pre_and_its_gradients(shape, dtype, with_gamma):
    given = inputs(shape, dtype, with_gamma)
    moved, exact = on_npu(given), exactly(given)
    found = torch_npu.npu_mhc_pre(*moved[:4], gamma=moved[4], norm_eps=EPS, hc_eps=EPS, out_flag=1)
    h_in, post, res, opened, rms = pre(*exact)
    for one, expected in zip(found[:3], (h_in, post, res), strict=True):
        close(one, expected)
    close(found[3], 1 / rms)
    close(found[5], opened)
    assert found[0].dtype == dtype
    grads = [real(*one.shape, seed=6 + place, dtype=one.dtype) for place, one in enumerate(found[:3])]
    torch.autograd.backward(found[:3], [grad.npu() for grad in grads])
    torch.autograd.backward([h_in, post, res], [grad.double() for grad in grads])
    for one, expected in zip(moved, exact, strict=True):
        if one is not None:
            close(one.grad, expected.grad)


def test_pre_without_residual_mapping():
    given = inputs((5,), torch.bfloat16, True, mappings=2)
    found = torch_npu.npu_mhc_pre(*[tensor.npu() for tensor in given[:4]], gamma=given[4].npu())
    h_in, post, *_ = pre(*[tensor.double() for tensor in given])
    close(found[0], h_in)
    close(found[1], post)
    assert found[2].tolist() == [0.0]


def test_pre_in_hf32_is_a_little_off():
    given = [tensor.npu() for tensor in inputs((5,), torch.bfloat16, True)]
    precise, fast = (torch_npu.npu_mhc_pre(*given[:4], gamma=given[4], inner_precise=kind)[2].cpu() for kind in (0, 1))
    assert 0 < float((precise - fast).abs().max()) < 1e-2


def sinkhorn(x: torch.Tensor, iterations: int) -> torch.Tensor:
    y = torch.softmax(x, -1) + EPS
    y = y / (y.sum(-2, keepdim=True) + EPS)
    for _ in range(iterations - 1):
        y = y / (y.sum(-1, keepdim=True) + EPS)
        y = y / (y.sum(-2, keepdim=True) + EPS)
    return y


@pytest.mark.parametrize("shape", [(5,), (2, 3)])
@pytest.mark.parametrize("n", [4, 6, 8])
@pytest.mark.parametrize("iterations", [1, 20])
def test_sinkhorn_and_its_gradient(shape, n, iterations):
    x, grad = real(*shape, n, n, seed=1), real(*shape, n, n, seed=2)
    moved, exact = x.npu().requires_grad_(), x.double().requires_grad_()
    found, expected = torch_npu.npu_mhc_sinkhorn(moved, eps=EPS, num_iters=iterations, out_flag=1)[0], sinkhorn(exact, iterations)
    close(found, expected)
    if iterations > 1:
        assert float((found.detach().sum(-1) - 1).abs().max()) < 1e-3
    found.backward(grad.npu())
    expected.backward(grad.double())
    torch.testing.assert_close(moved.grad.cpu().double(), exact.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(5,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mapped", [False, True])
def test_post_and_its_gradients(shape, dtype, mapped):
    given = (
        real(*shape, N, D, seed=1, dtype=dtype), real(*shape, N, N, seed=2) if mapped else None, real(*shape, D, seed=3, dtype=dtype),
        real(*shape, N, seed=4),
    )  # fmt: skip
    moved, (x, h_res, h_out, h_post) = on_npu(given), exactly(given)
    found = torch_npu.npu_mhc_post(*moved)
    kept = x if h_res is None else (h_res.unsqueeze(-1) * x.unsqueeze(-2)).sum(-3)
    expected = kept + h_post.unsqueeze(-1) * h_out.unsqueeze(-2)
    close(found, expected)
    grad = real(*shape, N, D, seed=5, dtype=dtype)
    found.backward(grad.npu())
    expected.backward(grad.double())
    for one, other in zip(moved, (x, h_res, h_out, h_post), strict=True):
        if one is not None:
            close(one.grad, other.grad)


def test_a_whole_layer_of_hyper_connections():
    x, phi, alpha, bias, gamma = inputs((5,), torch.bfloat16, True)
    h_in, post, res, *_ = torch_npu.npu_mhc_pre(x.npu(), phi.npu(), alpha.npu(), bias.npu(), gamma=gamma.npu())
    found = torch_npu.npu_mhc_post(x.npu(), torch_npu.npu_mhc_sinkhorn(res)[0], h_in, post)
    exact_in, exact_post, exact_res, *_ = pre(*[tensor.double() for tensor in (x, phi, alpha, bias, gamma)])
    close(found, sinkhorn(exact_res, 20).mT @ x.double() + exact_post.unsqueeze(-1) * exact_in.unsqueeze(-2))
