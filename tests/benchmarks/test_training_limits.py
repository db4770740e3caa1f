"""What the harness adds to a stage of training: under 1 % of its time, and no memory but the figures that it records. `tox -e limits`."""

import gc
import statistics
import time

import psutil
import torch
from torch import Tensor

from harness.case import Case, Step
from harness.devices import open_device
from harness.inputs import Inputs
from harness.measure import device_stopwatch, measure
from harness.rounds import Rounds
from suites.catalogue import all_cases

FEW, MANY = 2_000, 22_000


def seconds_of_a_round(case: Case, step: Step) -> float:
    """Return the median time of a whole round under the harness: its clock, its synchronizing, and what it keeps."""

    def stopwatch(one_round, rounds) -> Rounds:
        harness, whole = device_stopwatch(open_device("cpu")), []
        for _ in range(rounds):
            begun = time.perf_counter()
            harness(one_round, 1)
            whole.append(time.perf_counter() - begun)
        taken.extend(whole)
        return Rounds(tuple(whole))

    taken: list[float] = []
    shared = Case("post_training/overhead[float32]", "post_training", lambda inputs, /: step, "float32", (), rounds=case.rounds)
    assert measure(shared, open_device("cpu"), stopwatch=stopwatch)[0].status == "ok"
    return statistics.median(taken)


def test_a_stage_of_the_smallest_family_pays_under_one_per_cent(benchmark) -> None:
    """The harness's own round is measured on a step that returns the stage's outputs without computing them."""
    case = all_cases()["post_training/sft/llama[float32]"]
    device = open_device("cpu")
    step = case.workload(Inputs(case.seed, torch.float32, device.place, device.torch_device), **case.params)
    outputs = step.call()
    rounds = []
    for _ in range(12):
        begun = time.perf_counter()
        step.call()
        rounds.append(time.perf_counter() - begun)
    bare = statistics.median(rounds)
    idle = Case("post_training/idle[float32]", "post_training", case.workload, "float32", (), rounds=300)
    added = seconds_of_a_round(idle, Step(lambda: outputs, series=step.series))
    benchmark.pedantic(step.call, rounds=3)
    benchmark.extra_info["share"] = added / bare
    print(f"\nharness: {added * 1e6:.1f} us a round, {added / bare:.3%} of a step of {bare * 1e3:.1f} ms")
    assert added / bare < 0.01


def resident_growth(rounds: int) -> int:
    """Return by how many bytes this process has grown at the last of so many steps."""

    def idle(inputs: Inputs, /) -> Step:
        def call() -> dict[str, Tensor]:
            return {"loss": torch.zeros(()), "grad_norm": torch.zeros(())}

        return Step(call, series=("loss", "grad_norm"))

    case = Case("post_training/long[float32]", "post_training", idle, "float32", (), rounds=rounds)
    gc.collect()
    before, last = psutil.Process().memory_info().rss, []

    def progress(finished: int) -> None:
        if finished == rounds:  # all is still held
            last.append(psutil.Process().memory_info().rss)

    recording, arrays = measure(case, open_device("cpu"), progress=progress)
    assert recording.status == "ok"
    assert arrays["loss"].shape == (rounds,)
    return last[0] - before


def test_memory_grows_with_the_number_of_steps_by_the_recorded_figures_alone(benchmark) -> None:
    """A step more costs its two float32 figures and its seconds in a list, 40 bytes; a tensor object for each figure costs 500 and more."""
    resident_growth(FEW)  # what is allocated once
    few, many = benchmark.pedantic(lambda: (resident_growth(FEW), resident_growth(MANY)), rounds=1)
    each = (many - few) / (MANY - FEW)
    benchmark.extra_info["bytes a step"] = each
    print(f"\n{each:.0f} bytes a step")
    assert each < 120
