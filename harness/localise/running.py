"""A case's own work, set up as `harness.measure` does, and one round of it. Knows no operator."""

from collections.abc import Callable

import torch

from harness.case import Case, Step
from harness.devices.device import Device
from harness.inputs import Inputs


def set_up(case: Case, device: Device, golden: bool = False) -> Step:
    """Return the case's step on a device, or in float64. What the set-up itself computes is not looked at."""
    device.deterministic(True)
    device.seed(case.seed)
    dtype = getattr(torch, case.dtype)
    inputs = Inputs(case.seed, dtype, device.place, device.torch_device, golden, device.fused)
    step = case.workload(inputs, **case.params)
    device.seed(case.seed)
    return step


def rounds_of(step: Step, rounds: int) -> Callable[[], None]:
    """Return a function that makes so many rounds and lets go of their outputs."""

    def run() -> None:
        for _ in range(rounds):
            step.call()

    return run
