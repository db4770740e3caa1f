"""Root-mean-square normalization and its fusions with the residual addition and with quantization. Knows no other norm.

Definitions: pages npu_rms_norm, npu_add_rms_norm, npu_add_rms_norm_quant and npu_add_rms_norm_dynamic_quant of op-plugin's documentation,
and CANN's pages (ops-nn) of the operators. All are computed in float32; what is summed before the norm is rounded to the data type of the
sum first, because that sum is an output and the next layer's input.
"""

import torch
from torch import Tensor

from emulator.operator import Bools, Out, aclnn


def over_rms(x: Tensor, gamma: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return x / rms(x) and 1 / rms(x) in float32, over the trailing dimensions that gamma has."""
    wide = x.float()
    rstd = torch.rsqrt(wide.square().mean(dim=list(range(-gamma.dim(), 0)), keepdim=True) + epsilon)
    return wide * rstd, rstd


def _sum(x1: Tensor, x2: Tensor) -> Tensor:
    return (x1.float() + x2.float()).to(x1.dtype)


@aclnn
def RmsNorm(x: Tensor, gamma: Tensor, epsilon: float, y: Out, rstd: Out) -> tuple[Tensor, Tensor]:
    """x [.., *gamma], gamma; y as x, rstd float32 with 1 for each dimension of gamma. Page npu_rms_norm."""
    normed, scale = over_rms(x, gamma, epsilon)
    return normed * gamma.float(), scale


@aclnn
def RmsNormGrad(dy: Tensor, x: Tensor, rstd: Tensor, gamma: Tensor, dx: Out, dgamma: Out) -> tuple[Tensor, Tensor]:
    """dx as x, dgamma float32 as gamma. CANN's page aclnnRmsNormGrad."""
    inner = list(range(-gamma.dim(), 0))
    upstream, normed = dy.float(), x.float() * rstd
    scaled = upstream * gamma.float()
    gradient = (scaled - normed * (scaled * normed).mean(dim=inner, keepdim=True)) * rstd
    return gradient, (upstream * normed).reshape(-1, *gamma.shape).sum(0)


@aclnn
def GemmaRmsNorm(x: Tensor, gamma: Tensor, epsilon: float, y: Out, rstd: Out) -> tuple[Tensor, Tensor]:
    """As RmsNorm, scaled by 1 + gamma. CANN's page aclnnGemmaRmsNorm."""
    normed, scale = over_rms(x, gamma, epsilon)
    return normed * (1 + gamma.float()), scale


@aclnn
def AddRmsNorm(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float, y: Out, rstd: Out, x: Out) -> tuple[Tensor, Tensor, Tensor]:
    """RmsNorm of x = x1 + x2; x is an output too. Page npu_add_rms_norm."""
    added = _sum(x1, x2)
    normed, scale = over_rms(added, gamma, epsilon)
    return normed * gamma.float(), scale, added


@aclnn
def InplaceAddRmsNorm(x1: Out, x2: Out, gamma: Tensor, epsilon: float, rstd: Out) -> tuple[Tensor, Tensor, Tensor]:
    """AddRmsNorm that overwrites x1 with y and x2 with the sum. CANN's page aclnnInplaceAddRmsNorm."""
    added = _sum(x1, x2)
    normed, scale = over_rms(added, gamma, epsilon)
    return normed * gamma.float(), added, scale


@aclnn
def AddRmsNormCast(
    x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float, y1: Out, y2: Out, rstd: Out, x: Out
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """AddRmsNorm whose result comes in float32 (y1) and in the data type of x1 (y2). CANN's page aclnnAddRmsNormCast."""
    added = _sum(x1, x2)
    normed, scale = over_rms(added, gamma, epsilon)
    y = normed * gamma.float()
    return y, y, scale, added


def _quantized(value: Tensor, scale: Tensor, offset: Tensor | None, divide: bool, out: Tensor) -> Tensor:
    """Round to int8, halves to even, saturating."""
    if out.dtype != torch.int8:
        raise NotImplementedError(f"quantization to {out.dtype} is not emulated, only to int8")
    scaled = value / scale.float() if divide else value * scale.float()
    return (scaled if offset is None else scaled + offset.float()).round().clamp(-128, 127).to(torch.int8)


@aclnn
def RmsNormQuant(x: Tensor, gamma: Tensor, beta: Tensor, scale: Tensor, offset: Tensor, epsilon: float, y: Out) -> Tensor:
    """round((RmsNorm + beta) / scale + offset) as int8. CANN's page aclnnRmsNormQuant divides, and so does op-plugin's test on the device;
    op-plugin's page npu_rms_norm_quant says multiply."""
    normed, _ = over_rms(x, gamma.reshape(-1), epsilon)
    return _quantized(normed * gamma.float().reshape(-1) + beta.float().reshape(-1), scale, offset, True, y)


@aclnn
def RmsNormQuantV3(
    x: Tensor,
    gamma: Tensor,
    scale: Tensor,
    offset: Tensor | None,
    beta: Tensor | None,
    epsilon: float,
    div_mode: bool,
    output_rstd: bool,
    y: Out,
    rstd: Out,
) -> tuple[Tensor, Tensor]:
    """RmsNormQuant with optional offset and beta, and rstd where it is asked for. CANN's page aclnnRmsNormQuantV3."""
    normed, inverse = over_rms(x, gamma.reshape(-1), epsilon)
    value = normed * gamma.float().reshape(-1)
    if beta is not None:
        value = value + beta.float().reshape(-1)
    return _quantized(value, scale, offset, div_mode, y), inverse if output_rstd else rstd


@aclnn
def AddRmsNormQuantV2(
    x1: Tensor,
    x2: Tensor,
    gamma: Tensor,
    scales1: Tensor,
    scales2: Tensor | None,
    zero_points1: Tensor | None,
    zero_points2: Tensor | None,
    beta: Tensor | None,
    axis: int,
    epsilon: float,
    div_mode: bool,
    y1: Out,
    y2: Out,
    x: Out,
    rms_norm_out: Out | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """AddRmsNorm, plus beta, quantized with one or two scales; without scales2, y2 is zero. Page npu_add_rms_norm_quant."""
    if axis != -1:
        raise ValueError(f"axis {axis}: only -1 is documented")
    added = _sum(x1, x2)
    normed = over_rms(added, gamma, epsilon)[0] * gamma.float()
    value = normed if beta is None else normed + beta.float()
    first = _quantized(value, scales1, zero_points1, div_mode, y1)
    second = torch.zeros_like(first) if scales2 is None else _quantized(value, scales2, zero_points2, div_mode, y2)
    return first, second, added, normed


@aclnn
def AddRmsNormDynamicQuantV2(
    x1: Tensor,
    x2: Tensor,
    gamma: Tensor,
    smooth_scale1: Tensor | None,
    smooth_scale2: Tensor | None,
    beta: Tensor | None,
    epsilon: float,
    output_mask: Bools | None,
    y1: Out,
    y2: Out,
    x: Out,
    scale1: Out,
    scale2: Out,
) -> tuple[Tensor, ...]:
    """AddRmsNorm, plus beta, times a smoothing scale, quantized by the row: scale = max |value| / 127. Page npu_add_rms_norm_dynamic_quant.

    Which of the two results are wanted says output_mask; without it the first, and the second if both smoothing scales are given. What is
    not wanted is zero.
    """
    added = _sum(x1, x2)
    value = over_rms(added, gamma, epsilon)[0] * gamma.float()
    if beta is not None:
        value = value + beta.float()
    wanted = output_mask or (True, smooth_scale1 is not None and smooth_scale2 is not None)
    results = []
    for asked, smooth, out, scale in zip(wanted, (smooth_scale1, smooth_scale2), (y1, y2), (scale1, scale2), strict=True):
        smoothed = value if smooth is None else value * smooth.float()
        row = smoothed.abs().amax(-1) / 127
        safe = torch.where(row == 0, 1, row).unsqueeze(-1)  # a row of zeros stays zero
        results.append((_quantized(smoothed, safe, None, True, out), row) if asked else (torch.zeros_like(out), torch.zeros_like(scale)))
    return results[0][0], results[1][0], added, results[0][1], results[1][1]
