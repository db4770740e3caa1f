"""The split of a training step's memory: equal to the count from the configuration, and its growth a fit of what was measured."""

import pytest
import torch

from harness.devices import open_device
from harness.inputs import Inputs
from harness.manner import Manner
from harness.measure import measure
from suites.assets.families import FAMILIES
from suites.catalogue import all_cases
from suites.workloads.post_training import footprint
from suites.workloads.post_training.costs import costed, costs
from suites.workloads.post_training.footprint import CASES
from tests.suites.workloads.tiny_model import tiny

BY_ID = {case.id: case for case in CASES}


def measured(name: str, manner: Manner = Manner.PLAIN):
    recording, arrays = measure(BY_ID[f"post_training/footprint/{name}"], open_device("cpu"), manner=manner)
    assert recording.status == "ok", recording.message
    return recording, {part: int(array) for part, array in arrays.items()}


def test_every_family_in_both_dtypes_shares_one_count() -> None:
    assert len(CASES) == 2 * len(FAMILIES)
    assert all(case.golden_of in (None, case.id.replace("bfloat16", "float32")) for case in CASES)
    assert all(case.id in all_cases() for case in CASES)


@pytest.mark.parametrize("name", ["llama[float32]", "deepseek_v32[float32]", "deepseek_v4-flash[bfloat16]"])
def test_tensors_hold_what_the_configuration_makes(name: str) -> None:
    recording, parts = measured(name)
    golden, counted = measured(name.replace("bfloat16", "float32"), Manner.GOLDEN)
    assert parts == counted
    assert recording.inputs == golden.inputs
    assert 2 * parts["gradients"] == parts["optimizer"]  # two moments
    memory = recording.details["costs"]["memory"]
    assert memory["activations"] == sum(memory["layers"]) > 0
    assert len(memory["layers"]) == 1 + FAMILIES[name.split("[")[0]].tiny_config().num_hidden_layers


def test_indexers_have_no_gradient_and_no_state() -> None:
    _, parts = measured("deepseek_v32[float32]", Manner.GOLDEN)
    assert parts["gradients"] < parts["weights"]


def test_growth_of_a_dense_model_is_linear_in_rows_and_in_length() -> None:
    memory = measured("llama[float32]")[0].details["costs"]["memory"]
    constant, row = memory["batch"]["fit"]
    assert memory["batch"]["misfit"] < 1e-3
    assert constant + 2 * row == pytest.approx(memory["activations"], rel=1e-3)
    _, token, squared = memory["length"]["fit"]
    assert abs(squared) < 1e-3  # torch's own attention keeps no scores
    assert 64 * token == pytest.approx(memory["activations"], rel=0.01)
    first, *others, _ = memory["layers"]
    assert max(others) - min(others) <= 0.01 * first  # so a further layer costs as much as any


def test_eager_scores_show_as_a_square() -> None:
    memory = measured("deepseek_v4-flash[float32]")[0].details["costs"]["memory"]
    assert memory["length"]["fit"][2] > 10


def test_the_allocator_is_asked_where_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([1000, 601000, 2401000, 2401000])
    device = open_device("cpu")
    inputs = Inputs(0, torch.float32, device.place, device.torch_device, allocated=lambda: next(figures))
    case = BY_ID["post_training/footprint/llama[float32]"]
    step = case.workload(inputs, **case.params)
    step.call()
    assert step.details()["costs"]["memory"]["allocator"] == {"weights": 600000, "step": 2400000}


def test_a_least_squares_fit_with_its_largest_deviation() -> None:
    exact = footprint._fit({1: 5, 2: 7, 3: 9}, 1)
    assert exact["fit"] == pytest.approx([3, 2])
    assert exact["misfit"] < 1e-12
    assert footprint._fit({1: 100, 2: 100, 3: 130}, 1)["misfit"] == pytest.approx(0.1)


def test_a_step_of_sft_tells_its_operations() -> None:
    case = all_cases()["performance/train/llama[float32]"]
    device = open_device("cpu")
    step = case.workload(Inputs(0, torch.float32, device.place, device.torch_device), **case.params)
    told = step.details()["costs"]["flops"]
    config = FAMILIES["llama"].tiny_config()
    assert told == costs(config, 4, 128)["flops"]
    assert told["needed"] < told["executed"]
    assert told["needed"] == sum(sum(part) for part in told["parts"].values())


def test_of_a_model_that_is_not_described_nothing_is_told() -> None:
    config = tiny().config
    config.model_type = "something-else"
    assert costs(config, 1, 8) == {}
    step = all_cases()["performance/matmul[float32]"].workload(Inputs(0, torch.float32, lambda t: t, torch.device("cpu")), batch=1, rows=2,
                                                               inner=2, columns=2)  # fmt: skip
    assert costed(step, config, 1, 8) is step
