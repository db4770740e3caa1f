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
from harness.measure import Stopwatch, device_stopwatch, measure
from harness.rounds import Rounds

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


def timed(function: Callable[[], object]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def test_the_harness_costs_under_one_per_cent_of_a_training_step(benchmark) -> None:
    """What the harness adds to a round, measured on a step that does nothing, as a share of a bare training step.

    The ratio of a step under the harness to a bare one is printed beside it; here it scatters by more than it could show.
    """
    device = open_device("cpu")
    step = train(Inputs(0, torch.float32, device.place, device.torch_device))
    loss = step.call()

    def shared(_: Inputs, /) -> Step:  # the very same step on both sides: another model would lie in other cache lines
        return step

    def idle(_: Inputs, /) -> Step:
        return Step(lambda: loss, series=("loss",))

    rounds: dict[str, list[float]] = {"bare": [], "harness": [], "idle": [], "nothing": []}

    def stopwatch(bare: Callable[[], object], under: str, alone: str) -> Stopwatch:
        def run(one_round: Callable[[], None], count: int) -> Rounds:
            harness = device_stopwatch(device)
            for i in range(count):
                sides = [(under, lambda: harness(one_round, 1)), (alone, bare)]
                for name, function in sides if i % 2 else reversed(sides):  # neither side always comes second
                    rounds[name].append(timed(function))
            return Rounds(tuple(rounds[under]))

        return run

    for workload, names in ((shared, ("harness", "bare")), (idle, ("idle", "nothing"))):
        case = Case("post_training/overhead[float32]", "post_training", workload, "float32", (), rounds=PAIRS)
        bare = step.call if workload is shared else lambda: loss
        assert measure(case, device, stopwatch=stopwatch(bare, *names))[0].status == "ok"
    benchmark.pedantic(step.call, rounds=3)
    median = {name: statistics.median(seconds) for name, seconds in rounds.items()}
    share = (median["idle"] - median["nothing"]) / median["bare"]
    quartiles = statistics.quantiles([a / b for a, b in zip(rounds["harness"], rounds["bare"], strict=True)], n=4)
    benchmark.extra_info.update(share=share, ratio_quartiles=quartiles)
    print(f"\nharness: {(median['idle'] - median['nothing']) * 1e6:.1f} us a round, {share:.3%} of a step of {median['bare'] * 1e3:.1f} ms")
    print(f"step under the harness / bare step, quartiles of {PAIRS} pairs: {', '.join(f'{q:.3f}' for q in quartiles)}")
    assert share < 0.01


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
