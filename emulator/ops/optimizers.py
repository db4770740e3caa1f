"""Steps of optimizers as one operator, and the scaling of gradients in mixed precision. Knows no schedule and no list arithmetic.

Where hyperparameters arrive as float32, results differ by as much from PyTorch's on the CPU, which takes float64.
"""

import torch
from torch import Tensor

from emulator.operator import Float32, Out, Outs, Tensors, aclnn


def _dense(*tensors: Tensor) -> list[Tensor]:
    """Return the tensors, or dense copies: PyTorch's fused steps walk over memory without regard to strides."""
    return [tensor.contiguous() for tensor in tensors]


@aclnn
def ApplyAdamWV2(
    parameter: Out, average: Out, square: Out, largest: Out | None, gradient: Tensor, step: Tensor,
    lr: Float32, beta1: Float32, beta2: Float32, weight_decay: Float32, eps: Float32, amsgrad: bool, maximize: bool,
) -> list[Tensor | None]:  # fmt: skip
    """One step of AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW defines it; `step` counts the steps before this one.

    Nobody reads a loss scale: torch_npu drops `grad_scale` and `found_inf` (hicann/ops-nn, docs/aclnnApplyAdamWV2.md and its golden.py).
    """
    state = _dense(parameter, average, square)
    if amsgrad and largest is None:
        raise ValueError("amsgrad needs the largest squares so far")
    largests = _dense(largest) if amsgrad and largest is not None else []
    torch._fused_adamw_(
        [state[0]], [gradient.to(parameter.dtype).contiguous()], [state[1]], [state[2]], largests, [step.reshape(()).float() + 1],
        lr=lr, beta1=beta1, beta2=beta2, weight_decay=weight_decay, eps=eps, amsgrad=amsgrad, maximize=maximize,
    )  # fmt: skip
    return [*state, largests[0] if largests else largest]


@aclnn
def FusedAdam(
    parameters: Outs, gradients: Outs, averages: Outs, squares: Outs, largests: Outs, steps: Tensors, grad_scale: Tensor | None,
    found_inf: Tensor | None, lr: float, beta1: float, beta2: float, weight_decay: float, eps: float, amsgrad: bool, maximize: bool,
) -> list[list[Tensor]]:  # fmt: skip
    """One step of Adam for a list of parameters, as torch.optim.Adam defines it, on the devices that have it (not on Ascend910B).

    `steps` count the steps before this one; gradients are divided by the scale, in place; nothing happens where `found_inf` is 1
    (hicann/ops-nn, docs/aclnnFusedAdam.md).
    """
    state = [_dense(*parameters), _dense(*gradients), _dense(*averages), _dense(*squares), _dense(*largests)]
    torch._fused_adam_(
        state[0], state[1], state[2], state[3], state[4] if amsgrad else [], [step.reshape(-1)[0].float() + 1 for step in steps],
        lr=lr, beta1=beta1, beta2=beta2, weight_decay=weight_decay, eps=eps, amsgrad=amsgrad, maximize=maximize,
        grad_scale=grad_scale, found_inf=found_inf,
    )  # fmt: skip
    return state


@aclnn
def ApplyAdam(
    parameter: Out, average: Out, square: Out, beta1_power: Tensor, beta2_power: Tensor, lr: Tensor, beta1: Tensor, beta2: Tensor,
    eps: Tensor, gradient: Tensor, use_locking: bool, use_nesterov: bool,
) -> list[Tensor]:  # fmt: skip
    """One step of Adam (Kingma and Ba 2015, end of section 2) or NAdam (torch_npu.npu_apply_adam; hicann/ops-nn, apply_adam).

    The powers are beta1^t and beta2^t. `use_locking` orders writers that an emulated device does not have.
    """
    theta, m, v, g = (tensor.float() for tensor in (parameter, average, square, gradient))
    beta1, beta2 = beta1.float(), beta2.float()
    m = m + (1 - beta1) * (g - m)
    v = v + (1 - beta2) * (g * g - v)
    rate = lr.float() * (1 - beta2_power.float()).sqrt() / (1 - beta1_power.float())
    direction = m * beta1 + (1 - beta1) * g if use_nesterov else m
    return [theta - rate * direction / (eps.float() + v.sqrt()), m, v]


@aclnn
def ApplyAdamW(
    parameter: Out, average: Out, square: Out, beta1_power: Tensor, beta2_power: Tensor, lr: Tensor, weight_decay: Tensor, beta1: Tensor,
    beta2: Tensor, eps: Tensor, gradient: Tensor, largest: Tensor | None, amsgrad: bool, maximize: bool,
) -> list[Tensor]:  # fmt: skip
    """One step of AdamW (torch_npu.npu_apply_adam_w; hicann/ops-nn, docs/aclnnApplyAdamW.md).

    The powers are those of the step before, beta1^(t-1) and beta2^(t-1). With amsgrad the larger of `largest` and the new average of
    squares becomes that average.
    """
    theta, m, v, g = (tensor.float() for tensor in (parameter, average, square, gradient))
    beta1, beta2, rate = beta1.float(), beta2.float(), lr.float()
    g = -g if maximize else g
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    if amsgrad:
        if largest is None:
            raise ValueError("amsgrad needs the largest squares so far")
        v = torch.maximum(largest.float(), v)
    direction = m / (1 - beta1_power.float() * beta1) / ((v / (1 - beta2_power.float() * beta2)).sqrt() + eps.float())
    return [theta - rate * direction - rate * weight_decay.float() * theta, m, v]


@aclnn
def FusedSgd(
    parameters: Outs, gradients: Outs, momenta: Outs, grad_scale: Tensor | None,
    weight_decay: Float32, momentum: Float32, lr: Float32, dampening: Float32, nesterov: bool, maximize: bool, is_first_step: bool,
) -> list[list[Tensor]]:  # fmt: skip
    """One step of SGD with momentum for a list of parameters (torch.optim.SGD); gradients are divided by the scale, in place.

    Source: hicann/ops-nn, docs/aclnnFusedSgd.md.
    """
    state = [_dense(*parameters), _dense(*gradients), _dense(*momenta)]
    torch._fused_sgd_(
        *state, weight_decay=weight_decay, momentum=momentum, lr=lr, dampening=dampening, nesterov=nesterov, maximize=maximize,
        is_first_step=is_first_step, grad_scale=grad_scale,
    )  # fmt: skip
    return state


@aclnn
def ForeachNonFiniteCheckAndUnscale(gradients: Outs, found_inf: Out, inverse_scale: Tensor) -> list[object]:
    torch._amp_foreach_non_finite_check_and_unscale_(gradients, found_inf, inverse_scale)
    return [gradients, found_inf]


@aclnn
def AmpUpdateScale(
    scale: Tensor, tracker: Tensor, found_inf: Tensor, growth: float, backoff: float, interval: int, scale_out: Out, tracker_out: Out
) -> list[Tensor]:
    scale, tracker = scale.clone(), tracker.clone()
    torch._amp_update_scale_(scale, tracker, found_inf, growth, backoff, interval)
    return [scale, tracker]
