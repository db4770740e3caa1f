"""Optimizers and loss scaling on the device: the same steps as on the CPU, bit for bit where hyperparameters arrive unrounded."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from emulator.operator import CALLS
from emulator.ops import optimizers

SHAPES = ((4, 6), (6,))


def draw(seed: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Return random tensors of the parameters' shapes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]


def train(kind: type[torch.optim.Optimizer], device: str, options: dict[str, Any], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Return the parameters after three steps with given gradients."""
    parameters = [tensor.to(device).requires_grad_() for tensor in draw(0, dtype)[: 1 if kind is torch.optim.Muon else 2]]
    optimizer = kind(parameters, **options)
    for step in range(3):
        for parameter, gradient in zip(parameters, draw(step + 1, dtype), strict=False):
            parameter.grad = gradient.to(device)
        optimizer.step()
    return [parameter.detach().cpu() for parameter in parameters]


EVERY = (
    *(torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adamax, torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adagrad),
    *(torch.optim.Adadelta, torch.optim.RMSprop, torch.optim.Rprop, torch.optim.ASGD, torch.optim.Adafactor),
)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_steps_equal_those_of_the_cpu(kind: type[torch.optim.Optimizer], foreach: bool) -> None:
    options = {"lr": 0.01, "foreach": foreach}
    assert all(map(torch.equal, train(kind, "npu", options), train(kind, "cpu", options)))


@pytest.mark.parametrize("options", [{"foreach": True}, {"foreach": False}, {"foreach": True, "amsgrad": True, "maximize": True}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_adamw_in_its_forms(options: dict[str, Any], dtype: torch.dtype) -> None:
    assert all(map(torch.equal, train(torch.optim.AdamW, "npu", options, dtype), train(torch.optim.AdamW, "cpu", options, dtype)))


def test_muon() -> None:
    assert all(map(torch.equal, train(torch.optim.Muon, "npu", {}), train(torch.optim.Muon, "cpu", {})))


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"maximize": True, "weight_decay": 0.0}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_fused_adamw(options: dict[str, Any], dtype: torch.dtype) -> None:
    options = {"lr": 0.01, "fused": True, "weight_decay": 0.1, **options}
    before = CALLS["aclnnApplyAdamWV2"]
    found = train(torch.optim.AdamW, "npu", options, dtype)
    assert CALLS["aclnnApplyAdamWV2"] == before + 6
    # float32 hyperparameters: an error of 2^-24 relative to each; one rounding of the type more where it decides
    torch.testing.assert_close(found, train(torch.optim.AdamW, "cpu", options, dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


def test_fused_adamw_of_transposed_parameters() -> None:
    def step(device: str) -> Tensor:
        parameter = draw(0)[0].to(device).t().requires_grad_()
        parameter.grad = draw(1)[0].to(device).t().contiguous()
        torch.optim.AdamW([parameter], lr=0.01, fused=device == "npu").step()
        return parameter.detach().cpu()

    torch.testing.assert_close(step("npu"), step("cpu"))


@pytest.mark.parametrize("options", [{}, {"nesterov": True, "weight_decay": 0.1}, {"dampening": 0.2, "maximize": True}], ids=str)
def test_fused_sgd(options: dict[str, Any]) -> None:
    options = {"lr": 0.5, "momentum": 0.75, "fused": True, **options}
    torch.testing.assert_close(train(torch.optim.SGD, "npu", options), train(torch.optim.SGD, "cpu", options), rtol=1e-6, atol=1e-6)


def test_loss_scaling_skips_a_step_with_infinity_and_lowers_the_scale() -> None:
    parameter = torch.ones(3).npu().requires_grad_()
    optimizer, scaler = torch.optim.SGD([parameter], lr=0.5), torch.amp.GradScaler("npu", init_scale=8.0, growth_interval=1)
    for factor, expected, scale in ((1.0, 0.5, 16.0), (math.inf, 0.5, 8.0), (1.0, 0.0, 16.0)):
        optimizer.zero_grad()
        scaler.scale((parameter * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert parameter.tolist() == [expected] * 3
        assert scaler.get_scale() == scale


@pytest.mark.parametrize(("kind", "skips"), [(torch.optim.SGD, True), (torch.optim.AdamW, False)], ids=["sgd", "adamw"])
def test_only_fused_sgd_regards_infinity(kind: type[torch.optim.Optimizer], skips: bool) -> None:
    # A scaler leaves the check to a fused optimizer; torch_npu's AdamW does not look, its SGD does.
    parameter = torch.ones(3).npu().requires_grad_()
    options = {"momentum": 0.5} if kind is torch.optim.SGD else {}
    optimizer, scaler = kind([parameter], lr=0.5, fused=True, **options), torch.amp.GradScaler("npu", init_scale=8.0)
    scaler.scale((parameter * math.inf).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 4.0
    assert str(parameter.tolist()) == str([1.0 if skips else math.nan] * 3)


def test_fused_sgd_divides_gradients_by_the_scale() -> None:
    parameter = torch.ones(3).npu().requires_grad_()
    optimizer, scaler = torch.optim.SGD([parameter], lr=0.25, momentum=0.5, fused=True), torch.amp.GradScaler("npu", init_scale=8.0)
    scaler.scale((parameter * 2).sum()).backward()
    scaler.step(optimizer)
    assert parameter.tolist() == [0.5] * 3
    assert parameter.grad.tolist() == [2.0] * 3


def test_unscaled_gradients_can_be_clipped() -> None:
    parameters = [tensor.npu().requires_grad_() for tensor in draw(0)]
    optimizer, scaler = torch.optim.AdamW(parameters), torch.amp.GradScaler("npu", init_scale=1024.0)
    scaler.scale(sum((parameter * gradient.npu()).sum() for parameter, gradient in zip(parameters, draw(1), strict=True))).backward()
    scaler.unscale_(optimizer)
    gradients = draw(1)
    norm = torch.nn.utils.get_total_norm(gradients)
    assert torch.nn.utils.clip_grad_norm_(parameters, 1.0).item() == norm.item()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert torch.equal(parameter.grad.cpu(), gradient * (1 / (norm + 1e-6)).clamp(max=1))


def adam(theta: Tensor, m: Tensor, v: Tensor, g: Tensor, t: int, decoupled: float = 0.0, largest: Tensor | None = None) -> list[Tensor]:
    """Return one step of Adam or AdamW in float64: lr 0.1, betas 0.9 and 0.99, eps 1e-8."""
    theta, m, v, g = (tensor.double() for tensor in (theta, m, v, g))
    m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
    v = v if largest is None else torch.maximum(v, largest.double())
    step = 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.99**t)).sqrt() + 1e-8)
    return [(theta - step - 0.1 * decoupled * theta).float(), m.float(), v.float()]


def one(value: float) -> Tensor:
    return torch.tensor([value])


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_apply_adamw_of_devices_without_v2(maximize: bool, amsgrad: bool) -> None:
    theta, m, v, g, largest = draw(0)[0], draw(1)[0], draw(2)[0].abs(), draw(3)[0], draw(4)[0].abs()
    found = optimizers.ApplyAdamW(
        theta, m, v, one(0.9**2), one(0.99**2), one(0.1), one(0.05), one(0.9), one(0.99), one(1e-8), g, largest, amsgrad, maximize
    )
    torch.testing.assert_close(found, adam(theta, m, v, -g if maximize else g, 3, 0.05, largest if amsgrad else None))


def test_apply_adam() -> None:
    theta, m, v, g = draw(0)[0], draw(1)[0], draw(2)[0].abs(), draw(3)[0]
    powers = one(0.9**3), one(0.99**3)
    found = optimizers.ApplyAdam(theta, m, v, *powers, one(0.1), one(0.9), one(0.99), one(0.0), g, False, False)
    torch.testing.assert_close(found, adam(theta, m, v, g, 3), rtol=1e-5, atol=1e-5)
    nesterov = optimizers.ApplyAdam(theta, m, v, *powers, one(0.1), one(0.9), one(0.99), one(0.0), g, False, True)
    expected = theta - 0.1 * (1 - 0.99**3) ** 0.5 / (1 - 0.9**3) * (found[1] * 0.9 + 0.1 * g) / found[2].sqrt()
    torch.testing.assert_close(nesterov[0], expected)


@pytest.mark.parametrize("scale", [None, 4.0])
def test_fused_adam_of_newer_devices(scale: float | None) -> None:
    theta, m, v, g = ([tensor.clone() for tensor in draw(seed)] for seed in range(4))
    v = [tensor.abs() for tensor in v]
    expected = [adam(*row, 3) for row in zip(theta, m, v, [x / (scale or 1) for x in g], strict=True)]
    steps = [torch.tensor([2.0]) for _ in theta]
    given = None if scale is None else torch.tensor(scale)
    optimizers.FusedAdam(theta, g, m, v, v, steps, given, torch.tensor(1.0), 0.1, 0.9, 0.99, 0.0, 1e-8, False, False)
    assert all(map(torch.equal, theta, draw(0)))  # infinity was found: no step
    optimizers.FusedAdam(theta, g, m, v, v, steps, given, None, 0.1, 0.9, 0.99, 0.0, 1e-8, False, False)
    torch.testing.assert_close(theta, [row[0] for row in expected])
    torch.testing.assert_close(g, [x / (scale or 1) for x in draw(3)])


def test_adam_fused_of_this_device_steps_on_the_host() -> None:
    # torch_npu copies everything to the CPU for it on all devices before Ascend950, whatever the setting of CPU fallback.
    before = CALLS["aclnnFusedAdam"]
    found = train(torch.optim.Adam, "npu", {"fused": True})
    assert CALLS["aclnnFusedAdam"] == before
    assert all(map(torch.equal, found, train(torch.optim.Adam, "cpu", {"fused": True})))
