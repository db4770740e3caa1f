"""The limits that the harness sets itself, measured as ratios or rates within one run: `tox -e limits`. No part of the timed-out tests."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.case import Case, Step
from harness.checks.closeness import Roundoff, compare
from harness.checks.evidence import Sides
from harness.devices import open_device
from harness.inputs import Inputs
from harness.measure import device_stopwatch, measure

PAIRS = 200
U = Roundoff(2.0**-24, 2.0**-24)


def train(inputs: Inputs, /) -> Step:
    """A training step of some 10 ms on one core."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(512, 2048), nn.SiLU(), nn.Linear(2048, 512))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x = inputs.normal("x", (64, 512))

    def call() -> dict[str, Tensor]:
        optimizer.zero_grad()
        loss = (model(x) - x).square().mean()
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    return Step(call, series=("loss",))


def test_the_harness_costs_under_one_per_cent_of_a_training_step(benchmark) -> None:
    device = open_device("cpu")
    step = train(Inputs(0, torch.float32, device.place, device.torch_device))

    def shared(_: Inputs, /) -> Step:  # the very same step on both sides: another model would lie in other cache lines
        return step

    case = Case("post_training/overhead[float32]", "post_training", shared, "float32", (), rounds=PAIRS)
    ratios: list[float] = []

    def timed(function: Callable[[], object]) -> float:
        begun = time.perf_counter()
        function()
        return time.perf_counter() - begun

    def stopwatch(one_round: Callable[[], None], rounds: int, warmup: int) -> list[float]:
        """Alternate a bare step and a round under the harness, each as close to its neighbours as can be."""
        harness = device_stopwatch(device)
        for _ in range(rounds):
            bare, ours = timed(step.call), timed(lambda: harness(one_round, 1, 0))
            ratios.append(ours / bare)
        return ratios

    measure(case, device, stopwatch=stopwatch)
    benchmark.pedantic(step.call, rounds=3)
    low, median, high = statistics.quantiles(ratios, n=4)
    benchmark.extra_info["ratio to the bare step"] = ratios
    print(f"\nharness / bare, median of {PAIRS} pairs: {median:.4f} (quartiles {low:.4f} to {high:.4f})")
    assert median < 1.01


@pytest.mark.parametrize("size", [1_000, 100_000, 50_000_000])
def test_judging_against_float64(benchmark, size: int) -> None:
    golden = np.random.default_rng(0).standard_normal(size)
    output = golden.astype(np.float32)
    sides = Sides(output, output.copy(), golden)
    benchmark.pedantic(compare, ("out", sides, U, "closeness"), rounds=5 if size > 1_000_000 else 200, warmup_rounds=1)
    if not benchmark.stats:
        return  # --benchmark-disable
    best = benchmark.stats.stats.min
    benchmark.extra_info["million elements a second"] = size / best / 1e6
    print(f"\n{size} elements beside a reference: {best * 1e3:.3f} ms, {size / best / 1e6:.0f} million a second")
    assert best < 0.3e-3 if size == 1_000 else True
    assert size / best > 100e6 if size >= 50_000_000 else True
