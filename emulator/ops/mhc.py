"""Manifold-constrained hyper-connections (mHC): the mappings before and after a layer, Sinkhorn's between, and their gradients.

Definitions: documentation of torch_npu (npu_mhc_pre, npu_mhc_sinkhorn, npu_mhc_post) and of CANN (aclnnMhcPre, aclnnMhcPreBackward and so
on), which differ in one thing: by CANN and by torch_npu's own tests the residual mapping is transposed, h_res^T @ x, and so it is here.
x [..., n, D] are n residual streams, where ... is (B, S) or (T). Computed in float32.
"""

import torch
from torch import Tensor

from emulator.behaviour import hf32
from emulator.operator import Float32, Out, aclnn

_BLOCK = 8  # the device pads a row of n numbers to eight


def _pre(
    x: Tensor, phi: Tensor, alpha: Tensor, bias: Tensor, gamma: Tensor | None, norm_eps: float, hc_eps: float, precise: int, res_out: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    n = x.shape[-2]
    streams, flat = x.float(), x.float().flatten(-2)
    inverse = (flat.square().mean(-1) + norm_eps).rsqrt()
    left, right = flat if gamma is None else flat * gamma.float().flatten(), phi.float()
    if precise:
        left, right = hf32(left), hf32(right)
    mixed = left @ right.t()
    normed = mixed * inverse.unsqueeze(-1)
    pre = torch.sigmoid(normed[..., :n] * alpha[0] + bias[:n]) + hc_eps
    post = 2 * torch.sigmoid(normed[..., n : 2 * n] * alpha[1] + bias[n : 2 * n])
    mapped = len(alpha) > 2
    res = (normed[..., 2 * n :] * alpha[2] + bias[2 * n :]).view(res_out.shape) if mapped else torch.zeros_like(res_out)
    return (pre.unsqueeze(-1) * streams).sum(-2), post, res, inverse, mixed, pre


@aclnn
def MhcPre(
    x: Tensor, phi: Tensor, alpha: Tensor, bias: Tensor, gamma: Tensor | None, norm_eps: float, hc_eps: float,
    h_in: Out, h_post: Out, h_res: Out, inv_rms: Out | None, h_mix: Out | None, h_pre: Out | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """As MhcPreV2, in float32."""
    return _pre(x, phi, alpha, bias, gamma, norm_eps, hc_eps, 0, h_res)


@aclnn
def MhcPreV2(
    x: Tensor, phi: Tensor, alpha: Tensor, bias: Tensor, gamma: Tensor | None, norm_eps: float, hc_eps: float, inner_precise: int,
    h_in: Out, h_post: Out, h_res: Out, inv_rms: Out | None, h_mix: Out | None, h_pre: Out | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """x [..., n, D], phi [n * n + 2 n, n D], alpha [3], bias [n * n + 2 n], gamma [n, D].

    -> h_in [..., D], h_post [..., n], h_res [..., n, n] and three more for the gradient. Without residual mapping phi has 2 n rows and
    alpha two numbers, and h_res is 0. inner_precise 1 multiplies in HF32.
    """
    return _pre(x, phi, alpha, bias, gamma, norm_eps, hc_eps, inner_precise, h_res)


@aclnn
def MhcPreBackward(
    x: Tensor, phi: Tensor, alpha: Tensor, grad_h_in: Tensor, grad_h_post: Tensor, grad_h_res: Tensor, inv_rms: Tensor, h_mix: Tensor,
    h_pre: Tensor, h_post: Tensor, gamma: Tensor | None, grad_x_post: Tensor | None, hc_eps: Float32,
    grad_x: Out, grad_phi: Out, grad_alpha: Out, grad_bias: Out, grad_gamma: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of MhcPre with residual mapping; grad_x_post is added to that of x. Without gamma its gradient is 0."""
    n, width = x.shape[-2:]
    streams, flat = x.float().view(-1, n, width), x.float().reshape(-1, n * width)
    rms, mixed = inv_rms.reshape(-1, 1), h_mix.reshape(len(flat), -1)
    grad_in, grad_res = grad_h_in.float().view(-1, width), grad_h_res.float().reshape(len(flat), -1)
    opened, post = h_pre.reshape(-1, n) - hc_eps, h_post.reshape(-1, n)
    grad_pre = (grad_in.unsqueeze(1) * streams).sum(-1) * opened * (1 - opened)
    grad_post = grad_h_post.float().view(-1, n) * post * (1 - post / 2)
    scaled = torch.cat([grad_pre * alpha[0], grad_post * alpha[1], grad_res * alpha[2]], -1)
    grad_mixed = scaled * rms
    weight = torch.ones(n * width) if gamma is None else gamma.float().flatten()
    grad_left = grad_mixed @ phi.float()
    along_rms = -(scaled * mixed).sum(-1, keepdim=True) * rms.pow(3) / (n * width) * flat
    total = (grad_left * weight + along_rms).view(-1, n, width) + h_pre.reshape(-1, n, 1) * grad_in.unsqueeze(1)
    if grad_x_post is not None:
        total = total + grad_x_post.float().view(-1, n, width)
    normed = torch.split(mixed * rms, [n, n, n * n], -1)
    grads = (grad_pre, grad_post, grad_res)
    return (
        total.view(x.shape),
        grad_mixed.t() @ (flat * weight),
        torch.stack([(grad * value).sum() for grad, value in zip(grads, normed, strict=True)]),
        torch.cat([grad.sum(0) for grad in grads]),
        torch.zeros_like(grad_gamma) if gamma is None else (flat * grad_left).sum(0).view(n, width),
    )


@aclnn
def MhcSinkhorn(
    x: Tensor, eps: Float32, iterations: int, out: Out, norm_out: Out | None, sum_out: Out | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """x [..., n, n] -> its softmax, divided by the sums of columns, of rows, of columns and so on: 2 * iterations - 1 times in all.

    What the gradient needs has an order of its own on the device; here it is [2 * iterations, T, n, 8] and [2 * iterations, T, 8].
    """
    n = x.shape[-1]
    norms, sums = [torch.softmax(x.float().reshape(-1, n, n), -1) + eps], [torch.zeros(x.numel() // (n * n), n)]
    for step in range(1, 2 * iterations):
        total = norms[-1].sum(-2 if step % 2 else -1, keepdim=True) + eps
        norms.append(norms[-1] / total)
        sums.append(total.reshape(-1, n))
    kept = None if norm_out is None else torch.nn.functional.pad(torch.stack(norms), (0, _BLOCK - n)).view(norm_out.shape)
    totals = None if sum_out is None else torch.nn.functional.pad(torch.stack(sums), (0, _BLOCK - n)).view(sum_out.shape)
    return norms[-1].view(x.shape), kept, totals


@aclnn
def MhcSinkhornBackward(grad: Tensor, norm: Tensor, total: Tensor, out: Out) -> Tensor:
    """The gradient, from the numbers and sums that MhcSinkhorn kept."""
    n = grad.shape[-1]
    current = grad.float().reshape(-1, n, n)
    norms, sums = norm.view(-1, len(current), n, _BLOCK)[..., :n], total.view(-1, len(current), _BLOCK)[..., :n]
    for step in range(len(norms) - 1, 0, -1):
        dim = -2 if step % 2 else -1
        current = (current - (current * norms[step]).sum(dim, keepdim=True)) / sums[step].unsqueeze(dim)
    return ((current - (current * norms[0]).sum(-1, keepdim=True)) * norms[0]).view(grad.shape)


@aclnn
def MhcPost(x: Tensor, h_res: Tensor | None, h_out: Tensor, h_post: Tensor, out: Out) -> Tensor:
    """x [..., n, D], h_res [..., n, n] (or none: x stays as it is), h_out [..., D], h_post [..., n] -> h_res^T @ x + h_post * h_out."""
    kept = x.float() if h_res is None else h_res.float().mT @ x.float()
    return kept + h_post.float().unsqueeze(-1) * h_out.float().unsqueeze(-2)


@aclnn
def MhcPostBackward(
    grad: Tensor,
    x: Tensor,
    h_res: Tensor | None,
    h_out: Tensor,
    h_post: Tensor,
    grad_x: Out,
    grad_h_res: Out,
    grad_h_out: Out,
    grad_h_post: Out,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of MhcPost; without h_res its gradient is 0."""
    streams = grad.float()
    return (
        streams if h_res is None else h_res.float() @ streams,
        torch.zeros_like(grad_h_res) if h_res is None else x.float() @ streams.mT,
        (streams * h_post.float().unsqueeze(-1)).sum(-2),
        (streams * h_out.float().unsqueeze(-2)).sum(-1),
    )
